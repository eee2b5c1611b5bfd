//! `check` and `render`: sessions without a mount.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tracing::Level;

use super::mfa::Codes;
use super::print;
use super::surroundings::{Surroundings, runtime, start_logging};
use crate::broker::schedule::Jitter;
use crate::broker::{Broker, ObserveCalls, Observers, Serving};
use crate::check::{PackedSizes, all_succeeded, check_roles, text};
use crate::cli::{CheckArgs, CommonArgs, RenderArgs, RenderFormat};
use crate::clock::{Clock, CorrectedClock};
use crate::config::{ConfigError, ConfigErrors, Origin, Selection, Settings};
use crate::model::{Partition, RegionName, Role, StsSession};
use crate::os::hardening;
use crate::render::{self, Profile, ProfileState, Text};

/// `credmount check`.
pub(super) fn check(args: &CheckArgs) -> Result<ExitCode> {
    let (surroundings, settings) = prepare(&args.common)?;
    let roles = distinct(&settings)?;
    let packed = Arc::new(PackedSizes::default());
    let checks = runtime()?.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(CorrectedClock::default());
        let codes = Codes::new(&settings, clock.clone());
        codes.ask_on_terminal(&settings, |_| false);
        let sts = surroundings.sts(&settings, clock.clone(), packed.clone(), codes, None).await;
        let sts = Arc::new(sts);
        let region = fallback_region(&settings);
        check_roles(sts, &roles, &region, &*clock, &packed).await
    });
    let report = if args.json { serde_json::to_string(&checks)? + "\n" } else { text(&checks) };
    print(|out| out.write_all(report.as_bytes()))?;
    Ok(ExitCode::from(u8::from(!all_succeeded(&checks))))
}

/// `credmount render`.
pub(super) fn render(args: &RenderArgs) -> Result<ExitCode> {
    let (surroundings, settings) = prepare(&args.common)?;
    let roles = distinct(&settings)?;
    for (index, role) in roles.iter().enumerate() {
        if roles[..index].iter().any(|earlier| earlier.profile == role.profile) {
            let profile = &role.profile;
            let message = format!(
                "mounts serve different sessions as `{profile}`: say with --role which roles are \
                 to be rendered"
            );
            return Err(ConfigErrors(vec![ConfigError { origin: Origin::Whole, message }]).into());
        }
    }
    let single = match args.format {
        RenderFormat::Process => Some("process"),
        RenderFormat::Env => Some("env"),
        RenderFormat::Ini | RenderFormat::Json => None,
    };
    if let (Some(format), 2..) = (single, roles.len()) {
        let message = format!("{format} holds one role: name it with --role");
        let origin = Origin::Flag("--format".to_owned());
        return Err(ConfigErrors(vec![ConfigError { origin, message }]).into());
    }
    let sessions = runtime()?.block_on(sessions(&surroundings, &settings, &roles))?;
    let rendered = match args.format {
        RenderFormat::Ini => {
            let sections: Vec<_> = roles.iter().zip(&sessions).map(section).collect();
            render::credentials(&sections, false)
        }
        RenderFormat::Process => one(&roles, &sessions, |role, session| {
            render::process_json(&role.profile, &ProfileState::Live(session.clone()))
        }),
        RenderFormat::Env => one(&roles, &sessions, |role, session| {
            render::shell_exports(role.region.as_ref(), session)
        }),
        RenderFormat::Json => {
            render::json_object(roles.iter().map(|role| &role.profile).zip(sessions.iter()))
        }
    };
    print(|out| {
        out.write_all(rendered.as_bytes())?;
        if rendered.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Calls of a command are told to nobody.
fn nobody() -> Arc<dyn ObserveCalls> {
    Arc::new(Observers::default())
}

/// The roles of all mounts, each once.
///
/// # Errors
/// If there are tokens only.
fn distinct(settings: &Settings) -> Result<Vec<Role>, ConfigErrors> {
    let mut roles: Vec<Role> = Vec::new();
    for role in settings.roles() {
        if !roles.contains(role) {
            roles.push(role.clone());
        }
    }
    if roles.is_empty() {
        let message = "there is no role, only tokens: name one with --role".to_owned();
        return Err(ConfigErrors(vec![ConfigError { origin: Origin::Whole, message }]));
    }
    Ok(roles)
}

/// Where GetCallerIdentity is asked for a role that names no region: what `aws` would use.
fn fallback_region(settings: &Settings) -> RegionName {
    let known = settings.roles().find_map(|role| role.region.clone());
    known.unwrap_or_else(|| Partition::Aws.default_sts_region())
}

fn prepare(args: &CommonArgs) -> Result<(Surroundings, Settings)> {
    hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(args.log.config.as_deref());
    let settings = surroundings.settings(&args.flags(), Selection::Configured, &[])?;
    start_logging(&settings, Level::WARN);
    Ok((surroundings, settings))
}

/// One session for each role, in order.
async fn sessions(
    surroundings: &Surroundings,
    settings: &Settings,
    roles: &[Role],
) -> Result<Vec<Arc<StsSession>>> {
    let clock: Arc<dyn Clock> = Arc::new(CorrectedClock::default());
    let codes = Codes::new(settings, clock.clone());
    codes.ask_on_terminal(settings, |_| false);
    let sts = Arc::new(surroundings.sts(settings, clock.clone(), nobody(), codes, None).await);
    let broker = Broker::new(sts, clock.clone(), None, || Jitter::NONE);
    broker.limit_calls(settings.sts_calls_per_second);
    let mut waits = JoinSet::new();
    for role in roles {
        let (broker, chain) = (broker.clone(), role.chain.clone());
        let deadline = settings.open_deadline;
        waits.spawn(async move { broker.settled(&chain, deadline).await });
    }
    waits.join_all().await;
    let now = clock.now();
    let session = |role: &Role| match broker.serving(&role.chain, now) {
        Serving::Live(session, _) => Ok(session),
        Serving::Failing(error) => bail!("{}: {error}\n  {}", role.profile, error.cause.advice()),
        Serving::Pending => bail!("{}: the session is about to expire", role.profile),
    };
    roles.iter().map(session).collect()
}

fn section<'a>((role, session): (&'a Role, &Arc<StsSession>)) -> (Profile<'a>, ProfileState) {
    let profile =
        Profile { name: &role.profile, region: role.region.as_ref(), settings: &role.settings };
    (profile, ProfileState::Live(session.clone()))
}

fn one(
    roles: &[Role],
    sessions: &[Arc<StsSession>],
    render: impl FnOnce(&Role, &Arc<StsSession>) -> Text,
) -> Text {
    roles.first().zip(sessions.first()).map_or_else(Text::default, |(role, it)| render(role, it))
}
