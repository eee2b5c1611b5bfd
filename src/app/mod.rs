//! Composition: the one place where settings, adapters and the core meet.

mod audit;
mod background;
mod blueprint;
mod daemon;
mod daemons;
mod device_prompt;
mod identity_login;
mod lifeline;
mod login;
mod mfa;
mod mount;
mod plan;
mod safe;
mod service;
mod sessions;
mod successor;
mod supervise;
mod surroundings;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{Cli, Command, write_completions, write_man_page};
use crate::config::ConfigErrors;
use crate::control::Request;
use crate::fuse::mount::MountError;
use mount::Child;

/// Runs one command to its end and prints its error, if any. Exit codes: 0 ok, 1 failed, 2 usage
/// or configuration.
pub fn run(cli: Cli) -> ExitCode {
    let child = Child { detached: cli.daemon_child, supervised: cli.supervised };
    let done = match cli.command {
        None => mount::run(&cli.mount, child),
        Some(Command::Mount(args)) => mount::run_named(&args, child),
        Some(Command::Add(args)) => daemons::add(&args),
        Some(Command::Remove(args)) => daemons::remove(&args),
        Some(Command::Lock(args)) => daemons::command(&args, &Request::Lock {}),
        Some(Command::Unlock(args)) => daemons::command(&args, &Request::Unlock {}),
        Some(Command::Restart(args)) => daemons::restart(&args),
        Some(Command::Reload(args)) => daemons::command(&args, &Request::Reload {}),
        Some(Command::Login(args)) => login::run(&args),
        Some(Command::Check(args)) => sessions::check(&args),
        Some(Command::Render(args)) => sessions::render(&args),
        Some(Command::Status(args)) => daemons::status(&args),
        Some(Command::Refresh(args)) => daemons::refresh(&args),
        Some(Command::Mfa(args)) => mfa::run(&args),
        Some(Command::Unmount(args)) => daemons::unmount(&args),
        Some(Command::Audit(args)) => audit::run(&args),
        Some(Command::Service(args)) => service::run(&args),
        Some(Command::Completions(args)) => {
            print(|out| write_completions(args.shell, out)).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Man) => print(|out| write_man_page(out)).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        report(&error);
        exit_code(&error)
    })
}

/// 2 for what the caller typed or configured, 1 for everything else.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let usage = error.is::<ConfigErrors>()
        || matches!(error.downcast_ref(), Some(MountError::Mountpoint { .. }));
    ExitCode::from(if usage { 2 } else { 1 })
}

/// The one place that prints an error, with all its causes.
fn report(error: &anyhow::Error) {
    let mut err = io::stderr().lock();
    for line in format!("{error:#}").lines() {
        // With stderr closed there is nobody to tell.
        let _ = writeln!(err, "credmount: {line}");
    }
}

/// Writes to stdout. A reader that has gone away, such as `head`, is no failure.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
