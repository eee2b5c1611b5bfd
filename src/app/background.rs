//! `--background`: the command starts itself again as a process that stays, and returns when that
//! one serves or has failed.
//!
//! The process that stays has a pipe as its stdout until then, on which it says `ready` or its
//! error; its stderr is the log file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use rustix::process::setsid;
use rustix::stdio::dup2_stdout;

/// Starts the process that stays and waits until it serves. `command` is the subcommand that was
/// typed, if any.
///
/// # Errors
/// If it cannot be started.
pub(super) fn launch(log_file: &Path, command: Option<&str>) -> Result<ExitCode> {
    let log = open_log(log_file).with_context(|| format!("log file {}", log_file.display()))?;
    let program = own_path()?;
    let mut child = Command::new(program)
        .args(command)
        // Before the others: behind `--` it would be taken for a directory.
        .arg("--daemon-child")
        .args(std::env::args_os().skip(1 + command.iter().len()))
        .env(MMAP_THRESHOLD, "131072")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("starting the process that stays")?;
    let mut told = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut told).context("listening to the process that stays")?;
    }
    if told == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait().context("waiting for the process that stays")?;
    if told.is_empty() {
        let log_file = log_file.display();
        told = format!("credmount: the process that stays ended ({status}); see {log_file}\n");
    }
    // With stderr closed there is nobody to tell.
    let _ = io::stderr().write_all(told.as_bytes());
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Where this program is. One that was replaced since it started has ` (deleted)` behind its path in
/// `/proc` (proc(5)); the new one is where it was.
///
/// # Errors
/// If `/proc` does not tell.
pub(super) fn own_path() -> Result<PathBuf> {
    let path = std::env::current_exe().context("finding this program")?;
    let text = path.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    Ok(text.map_or_else(|| path.clone(), PathBuf::from))
}

/// Leaves the terminal and the directory the command was typed in.
///
/// # Errors
/// If the system refuses.
pub(super) fn detach() -> Result<()> {
    setsid().context("leaving the terminal")?;
    leave_directory()
}

/// Leaves the directory the command was typed in, which somebody may want to unmount.
///
/// # Errors
/// If the system refuses.
pub(super) fn leave_directory() -> Result<()> {
    std::env::set_current_dir("/").context("leaving the directory")
}

/// Tells the launching process that the mount serves.
pub(super) fn ready() {
    tell(READY);
}

/// Tells the launching process what went wrong; says nothing once it has been told `ready`.
pub(super) fn failed(error: &anyhow::Error) {
    let lines: Vec<_> =
        format!("{error:#}").lines().map(|line| format!("credmount: {line}\n")).collect();
    tell(&lines.concat());
}

/// Writes to the launching process and closes the pipe. Errors are ignored: whether it still
/// listens makes no difference to what is served.
fn tell(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    leave_stdout();
}

/// Closes the pipe to the launching process, which listens as long as anybody could speak.
pub(super) fn leave_stdout() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(&null);
    }
}

/// A new log for each start; the one before is kept beside it.
fn open_log(path: &Path) -> io::Result<File> {
    match fs::rename(path, path.with_extension("log.old")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

const READY: &str = "ready\n";

/// Keeps glibc (mallopt(3)) from moving its threshold for mappings of their own. Each mount has a
/// request buffer of 16 MiB, of which it uses a few hundred bytes; once one was freed, later ones
/// would come from the heap, where every byte of them is touched.
const MMAP_THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
