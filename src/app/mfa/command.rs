//! `credmount mfa`, and the question that follows the start of a daemon in the background: an MFA
//! code goes to the daemon over its control socket.

use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use zeroize::Zeroizing;

use super::prompt;
use crate::app::daemons::{absolute, runtime_dir, socket_of, told};
use crate::app::successor::{all_daemons, daemon_of, status_at};
use crate::cli::MfaArgs;
use crate::config::{ConfigError, ConfigErrors, MfaPrompt, Origin, Settings};
use crate::control::{DaemonStatus, Request, Response, ask};
use crate::model::{MfaCode, MfaDevice};
use crate::os::hardening;

/// A device that roles of one daemon need.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    socket: PathBuf,
    device: String,
    /// The roles behind it that are meant, by the names that readers see.
    profiles: Vec<String>,
}

/// `credmount mfa [ROLE] [CODE]`.
pub(in crate::app) fn run(args: &MfaArgs) -> Result<ExitCode> {
    hardening::harden().context("forbidding core dumps")?;
    let (role, code) = typed(args)?;
    let runtime_dir = runtime_dir()?;
    let daemons = if let Some(mountpoint) = &args.daemon.mountpoint {
        let socket = socket_of(&runtime_dir, mountpoint)?;
        let status = daemon_of(&runtime_dir, &absolute(mountpoint)?)?;
        vec![(socket, status)]
    } else {
        let (daemons, failed) = all_daemons(&runtime_dir)?;
        ensure!(!daemons.is_empty() || failed.is_empty(), failed.join("\n"));
        daemons
    };
    let target = only(targets(&daemons, role), role)?;
    let device = MfaDevice::parse(&target.device)?;
    let code = match code {
        Some(code) => code,
        None => asked(&device)?,
    };
    told(ask(&target.socket, &Request::Mfa { device: target.device, code })?)
}

/// What was typed: one word of six digits alone is a code.
fn typed(args: &MfaArgs) -> Result<(Option<&str>, Option<MfaCode>), ConfigErrors> {
    let (role, code) = (args.role.as_deref(), args.code.as_deref());
    if let (Some(word), None) = (role, code)
        && let Ok(code) = MfaCode::parse(word)
    {
        return Ok((None, Some(code)));
    }
    let wrong = |error: crate::model::NotACode| {
        let (origin, message) = (Origin::Flag("CODE".to_owned()), error.to_string());
        ConfigErrors(vec![ConfigError { origin, message }])
    };
    Ok((role, code.map(MfaCode::parse).transpose().map_err(wrong)?))
}

/// The devices that are meant: those that `role` names, else those that need a code.
fn targets(daemons: &[(PathBuf, DaemonStatus)], role: Option<&str>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for (socket, status) in daemons {
        for it in status.mounts.iter().flat_map(|mount| &mount.roles) {
            let Some(mfa) = &it.mfa else { continue };
            let is_meant = match role {
                None => mfa.command.is_some(),
                Some("default") if it.default => true,
                Some(name) => name == it.profile || name == mfa.device,
            };
            if !is_meant {
                continue;
            }
            let known = targets.iter_mut().find(|t| t.socket == *socket && t.device == mfa.device);
            match known {
                Some(target) if target.profiles.contains(&it.profile) => {}
                Some(target) => target.profiles.push(it.profile.clone()),
                None => targets.push(Target {
                    socket: socket.clone(),
                    device: mfa.device.clone(),
                    profiles: vec![it.profile.clone()],
                }),
            }
        }
    }
    targets
}

/// A code is good once, so it can be for one device of one daemon only.
fn only(mut targets: Vec<Target>, role: Option<&str>) -> Result<Target> {
    match (targets.pop(), targets.is_empty(), role) {
        (Some(target), true, _) => Ok(target),
        (Some(last), false, _) => {
            targets.push(last);
            let told =
                targets.iter().map(|it| format!("{}: {}", it.device, it.profiles.join(", ")));
            let told: Vec<String> = told.collect();
            bail!(
                "a code is good for one device of one daemon; say which by a role, or by one of its \
                 mounts with --daemon MOUNTPOINT\n{}",
                told.join("\n")
            )
        }
        (None, _, Some(role)) => {
            let role = role.escape_debug();
            bail!("no daemon serves a role {role} with MFA; credmount status lists the roles")
        }
        (None, _, None) => bail!("no role needs an MFA code now"),
    }
}

/// The code, from the terminal or from stdin.
fn asked(device: &MfaDevice) -> Result<MfaCode> {
    if prompt::is_possible() {
        return prompt::ask(device).context("asking for the code")?.context("no code was given");
    }
    let mut line = Zeroizing::new(String::with_capacity(LONGEST));
    let mut input = io::BufReader::new(io::Read::take(io::stdin(), LONGEST as u64));
    input.read_line(&mut line).context("reading the code from stdin")?;
    Ok(MfaCode::find(&line)?)
}

/// Asks on the terminal for the codes that the daemon behind `socket` needs, right after its start.
/// Whatever comes of it, the daemon serves.
pub(in crate::app) fn ask_after_start(settings: &Settings, socket: &Path) {
    let needs_person = settings.roles().filter_map(|role| role.chain.mfa_chain());
    let needed = needs_person.filter(crate::model::RoleChain::needs_person).count() > 0;
    if !needed || settings.mfa_prompt != MfaPrompt::Terminal || !prompt::is_possible() {
        return;
    }
    let Ok(status) = status_at(socket) else { return };
    for target in targets(&[(socket.to_owned(), status)], None) {
        if let Err(error) = converse(&target) {
            let _ = writeln!(io::stderr(), "credmount: {error:#}");
        }
    }
}

/// Asks until a code is accepted or nobody wants to give one.
fn converse(target: &Target) -> Result<()> {
    let device = MfaDevice::parse(&target.device)?;
    for _ in 0..TRIES {
        let Some(code) = prompt::ask(&device)? else { break };
        let request = Request::Mfa { device: target.device.clone(), code };
        match ask(&target.socket, &request)? {
            Response::Failed(reason) => writeln!(io::stderr(), "credmount: {reason}")?,
            Response::Done(text) => return Ok(writeln!(io::stderr(), "{text}")?),
            _ => break,
        }
    }
    let first = target.profiles.first().map_or("", String::as_str);
    writeln!(io::stderr(), "credmount: without MFA until: credmount mfa {first}")?;
    Ok(())
}

/// How many codes are taken from a person at the start.
const TRIES: u32 = 3;

/// No line with a code is longer.
const LONGEST: usize = 4096;
