//! Logins at issuers, which daemons hold in memory: the person is told here what to do, and the
//! daemon does the rest. Must not know tokens.

use std::collections::HashSet;
use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use super::surroundings::runtime;
use super::{daemons, device_prompt, print, report};
use crate::control::{LoginAnswer, Request, Response};
use crate::render::{RoleStatus, TokenStatus};

/// An identity, and a mount whose daemon needs it.
pub(super) type Awaited = (PathBuf, String);

/// The identities of this name, or of the role of this name, each with a mount that needs it; without
/// a name, those that daemons wait for.
pub(super) fn awaited(name: Option<&str>) -> Vec<Awaited> {
    let wanted = |role: &RoleStatus| match name {
        // Readers of a role are told its own name.
        Some(name) => {
            role.identity.is_some()
                && [role.identity.as_deref(), Some(&*role.profile)].contains(&Some(name))
        }
        None => role.identity.is_some() && role.last_cause.as_deref() == Some("LoginNeeded"),
    };
    let of_token = |token: &TokenStatus| match name {
        Some(name) => token.identity == name,
        None => token.last_cause.as_deref() == Some("LoginNeeded"),
    };
    let roles = daemons::roles().into_iter().filter(|(_, role)| wanted(role));
    let tokens = daemons::tokens().into_iter().filter(|(_, token)| of_token(token));
    let of_roles = roles.filter_map(|(mountpoint, role)| Some((mountpoint, role.identity?)));
    distinct(of_roles.chain(tokens.map(|(mountpoint, token)| (mountpoint, token.identity))))
}

fn distinct(awaited: impl Iterator<Item = Awaited>) -> Vec<Awaited> {
    let mut seen = HashSet::new();
    awaited.filter(|awaited| seen.insert(awaited.clone())).collect()
}

/// Has a person log in to each. A daemon with several mounts that need one identity is asked once
/// for each of them, and has the login already from the second on.
pub(super) async fn run(awaited: Vec<Awaited>, open_browser: bool) -> Result<ExitCode> {
    let mut done: HashSet<(u32, String)> = HashSet::new();
    for (mountpoint, name) in awaited {
        let daemon = daemons::pid_of(&mountpoint)?;
        if !done.insert((daemon, name.clone())) {
            continue;
        }
        one(mountpoint, &name, open_browser).await.with_context(|| format!("identity {name}"))?;
        print(|out| writeln!(out, "logged in: {name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn one(mountpoint: PathBuf, name: &str, open_browser: bool) -> Result<()> {
    let identity = name.to_owned();
    let answer = asked(&mountpoint, Request::Login { identity: identity.clone() }).await?;
    let Response::Login(LoginAnswer { page, page_with_code, code }) = answer else {
        bail!("the daemon gave no page to log in at");
    };
    let page = page_with_code.unwrap_or(page);
    let prompt = device_prompt::text(&page, &code, stdout().is_terminal());
    let qr_code =
        if stdout().is_terminal() { device_prompt::qr_code(&page) } else { String::new() };
    print(|out| out.write_all((prompt + &qr_code).as_bytes()))?;
    if open_browser && let Err(error) = device_prompt::open_browser(&page) {
        report(&anyhow!("no browser could be opened, so open the page yourself: {error}"));
    }
    loop {
        match asked(&mountpoint, Request::AwaitLogin { identity: identity.clone() }).await? {
            Response::Waiting => {}
            _ => return Ok(()),
        }
    }
}

/// The answer of a daemon; not on the thread that hears an interruption.
async fn asked(mountpoint: &Path, request: Request) -> Result<Response> {
    let mountpoint = mountpoint.to_owned();
    tokio::task::spawn_blocking(move || daemons::ask_daemon_of(&mountpoint, &request)).await?
}

/// After the start of a daemon that serves these mounts: has the person at the terminal, if there is
/// one, log in to what is waited for.
pub(super) fn at_start(mountpoints: &[PathBuf]) {
    if ![stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()].iter().all(|it| *it)
    {
        return;
    }
    let mut awaited = awaited(None);
    awaited.retain(|(mountpoint, _)| mountpoints.contains(mountpoint));
    let told = runtime().and_then(|runtime| runtime.block_on(run(awaited, false)));
    if let Err(error) = told {
        report(&error.context("nobody is logged in; credmount login tries again"));
    }
}

/// The same beside a daemon that stays in the foreground.
pub(super) fn beside(mountpoints: Vec<PathBuf>) {
    thread::spawn(move || at_start(&mountpoints));
}
