//! `credmount login`: lets a person sign in to IAM Identity Center, and daemons know of it. What is an
//! identity of a daemon is left to it.

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::time::sleep;

use super::surroundings::{Surroundings, runtime};
use super::{daemons, device_prompt, identity_login, print, report};
use crate::broker::{RetryClass, SessionError};
use crate::cli::LoginArgs;
use crate::clock::{Clock, CorrectedClock};
use crate::config::{ConfigError, ConfigErrors, Flags, Origin, Selection};
use crate::model::BaseCredentials;
use crate::os::hardening;
use crate::render::{RoleStatus, instant};
use crate::sts::{IdentityCenter, Polled, SsoSession};

/// The longest pause between two polls that the service did not ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The exit code of a command that was interrupted, as a shell would give it.
const INTERRUPTED: u8 = 130;

/// `credmount login [NAME]`.
pub(super) fn run(args: &LoginArgs) -> Result<ExitCode> {
    hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(args.config.as_deref());
    runtime()?.block_on(async {
        tokio::select! {
            done = sign_in(args, &surroundings) => done,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("catching signals")?;
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    })
}

async fn sign_in(args: &LoginArgs, surroundings: &Surroundings) -> Result<ExitCode> {
    let awaited = identity_login::awaited(args.name.as_deref());
    if !awaited.is_empty() {
        return identity_login::run(awaited, args.open_browser).await;
    }
    let clock: Arc<dyn Clock> = Arc::new(CorrectedClock::default());
    let center = surroundings.identity_center(clock.clone()).await;
    let session = match &args.name {
        Some(name) => named(name, &center, surroundings).await?,
        None => only(&center).await?,
    };
    let mut codes = center.begin(&session).await.map_err(|error| told(&error))?;
    let prompt = device_prompt::text(&codes.uri, &codes.user_code, stdout().is_terminal());
    let qr_code =
        if stdout().is_terminal() { device_prompt::qr_code(&codes.uri) } else { String::new() };
    print(|out| out.write_all((prompt + &qr_code).as_bytes()))?;
    if args.open_browser
        && let Err(error) = device_prompt::open_browser(&codes.uri)
    {
        report(&anyhow!("no browser could be opened, so open the page yourself: {error}"));
    }
    let label = session.label();
    loop {
        sleep(codes.interval).await;
        match center.poll(&mut codes).await {
            Ok(Polled::SignedIn { expires_at, renewable }) => {
                let renewed =
                    if renewable { ", and renewed for as long as AWS allows" } else { "" };
                let until = instant(expires_at);
                print(|out| writeln!(out, "signed in to {label} until {until}{renewed}"))?;
                return tell_daemons(&center, &session).await;
            }
            Ok(Polled::Denied) => bail!("the sign-in to {label} was denied in the browser"),
            Ok(Polled::Expired) => bail!(too_late(label)),
            Ok(Polled::Pending) => {}
            Err(error) if error.cause.retry() == RetryClass::Transient => {
                report(&anyhow!("{}; asking again", told(&error)));
                // As after a timeout (RFC 8628, section 3.5).
                codes.interval = (codes.interval * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(told(&error)),
        }
        if codes.expires_at <= clock.now() {
            bail!(too_late(label));
        }
    }
}

/// The error in its own words: the sentence of its kind speaks of STS.
fn told(error: &SessionError) -> anyhow::Error {
    anyhow!("{}{}", error.subject, error.detail)
}

fn too_late(label: &str) -> String {
    format!("nobody approved the sign-in to {label} in time; run credmount login again")
}

/// The sign-in that a name stands for: of an AWS profile, an sso-session, a role of the
/// configuration, or a role that a daemon serves.
async fn named(
    name: &str,
    center: &IdentityCenter,
    surroundings: &Surroundings,
) -> Result<SsoSession> {
    if let Some(session) = center.session(name).await? {
        return Ok(session);
    }
    let mut profiles = Vec::new();
    // A configuration that is wrong in other places is no hindrance.
    if let Ok(settings) = surroundings.settings(&Flags::default(), Selection::Configured, &[]) {
        let of_role = settings.roles().filter(|role| role.profile.as_str() == name);
        profiles.extend(of_role.filter_map(|role| match &role.chain.base {
            BaseCredentials::Profile(profile) => Some(profile.clone()),
            _ => None,
        }));
    }
    let served = daemons::roles().into_iter().filter(|(_, role)| role.profile == name);
    profiles.extend(served.filter_map(|(_, role)| role.source_profile));
    for profile in profiles {
        if let Some(session) = center.session(&profile).await? {
            return Ok(session);
        }
    }
    let known = known(&center.sessions().await);
    Err(usage(format!(
        "{} needs no sign-in to IAM Identity Center, or is unknown; {known}",
        shown(name)
    )))
}

/// The only sign-in that the AWS files speak of.
async fn only(center: &IdentityCenter) -> Result<SsoSession> {
    let mut sessions = center.sessions().await;
    match (sessions.pop(), sessions.is_empty()) {
        (Some(session), true) => Ok(session),
        (last, _) => {
            sessions.extend(last);
            Err(usage(format!("say to what to sign in: {}", known(&sessions))))
        }
    }
}

fn known(sessions: &[SsoSession]) -> String {
    if sessions.is_empty() {
        return "no profile of the AWS files signs in (aws configure sso makes one)".to_owned();
    }
    let labels: Vec<&str> = sessions.iter().map(SsoSession::label).collect();
    format!("the AWS files have {}", labels.join(", "))
}

fn shown(name: &str) -> String {
    format!("'{}'", name.escape_debug())
}

/// An error of what was typed or configured.
fn usage(message: String) -> anyhow::Error {
    ConfigErrors(vec![ConfigError { origin: Origin::Whole, message }]).into()
}

/// Has daemons renew the roles that waited for this sign-in, and prints which these are. What else
/// is wrong with them takes nothing from the sign-in.
async fn tell_daemons(center: &IdentityCenter, session: &SsoSession) -> Result<ExitCode> {
    for (mountpoint, role) in daemons::roles() {
        if !awaits(&role, center, session).await {
            continue;
        }
        let (profile, at) = (&role.profile, mountpoint.display());
        match daemons::renew(&mountpoint, profile) {
            Ok(()) => print(|out| writeln!(out, "renewed: {profile} in {at}"))?,
            Err(error) => report(&anyhow!("{profile} in {at}: {error:#}")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn awaits(role: &RoleStatus, center: &IdentityCenter, session: &SsoSession) -> bool {
    if role.last_cause.as_deref() != Some("LoginNeeded") {
        return false;
    }
    // Those of an issuer need another login.
    if role.identity.is_some() {
        return false;
    }
    // Without a profile it is that of the standard chain, which may be any.
    let Some(profile) = &role.source_profile else { return true };
    center.session(profile).await.is_ok_and(|found| found.as_ref() == Some(session))
}
