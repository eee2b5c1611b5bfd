//! A command of the configuration whose output is a secret. Must not know what the secret is for.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::model::Secret;

/// Why a command gave no secret. Holds nothing of what it printed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no `sh`, or no process can be started.
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    /// It ended with another status than 0, or by a signal.
    #[error("it ended with {}", ended(*.0))]
    Ended(ExitStatus),
    /// It did not end in time, and was killed with all that it had started.
    #[error("it took more than {}", humantime::format_duration(*.0))]
    Late(Duration),
    /// It printed more than can be right, or bytes that are no text.
    #[error("it printed more than {0} bytes, or no text")]
    NoText(usize),
    /// It printed nothing.
    #[error("it printed nothing")]
    Nothing,
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// What `command`, given to `sh -c`, prints, as [`secret_output_of`] has it.
///
/// # Errors
/// See [`CommandError`].
pub async fn secret_output(
    command: &str,
    limit: usize,
    deadline: Duration,
) -> Result<Secret, CommandError> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    secret_output_of(shell, limit, deadline).await
}

/// What `command` prints, without white space at its ends: at most `limit` bytes within `deadline`.
/// Its stdin and stderr lead nowhere; its environment is our own, with what is set for it. It is
/// killed with all that it has started when it is late, or when nobody waits any more.
///
/// # Errors
/// See [`CommandError`].
pub async fn secret_output_of(
    mut command: Command,
    limit: usize,
    deadline: Duration,
) -> Result<Secret, CommandError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(CommandError::Start)?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let stdout = child.stdout.take();
    let run = async {
        // Of its final size from the start, so that growing leaves no copies.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
        if let Some(stdout) = stdout {
            let mut stdout = stdout.take(limit as u64 + 1);
            stdout.read_to_end(&mut bytes).await.map_err(CommandError::Start)?;
        }
        if bytes.len() > limit {
            return Err(CommandError::NoText(limit));
        }
        let status = child.wait().await.map_err(CommandError::Start)?;
        Ok((bytes, status))
    };
    let (bytes, status) =
        timeout(deadline, run).await.map_err(|_| CommandError::Late(deadline))??;
    group.0 = None;
    if !status.success() {
        return Err(CommandError::Ended(status));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| CommandError::NoText(limit))?.trim();
    if text.is_empty() { Err(CommandError::Nothing) } else { Ok(Secret::new(text)) }
}

/// The process group of a command that has not ended; killed when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        // The first process of the group has not been waited for, so its number is still its own.
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn output(command: &str) -> Result<String, String> {
        let secret = secret_output(command, 16, Duration::from_secs(20)).await;
        secret.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_output_is_the_secret_without_the_line_break() {
        assert_eq!(output("echo ' token '").await.unwrap(), "token");
        assert_eq!(output("printf 0123456789abcdef").await.unwrap(), "0123456789abcdef");
    }

    #[tokio::test]
    async fn failures_are_told_without_what_was_printed() {
        for (command, told) in [
            ("echo token; echo token >&2; exit 3", "it ended with exit status 3"),
            ("kill -TERM $$", "it ended with signal 15"),
            ("printf 0123456789abcdefg", "it printed more than 16 bytes, or no text"),
            ("printf '\\377'", "it printed more than 16 bytes, or no text"),
            ("echo", "it printed nothing"),
        ] {
            assert_eq!(output(command).await.unwrap_err(), told, "{command}");
        }
    }

    #[tokio::test]
    async fn what_is_late_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let command = format!("sleep 600 & echo $! >{}; wait", pid_file.display());
        // On a busy machine it may be late before it has begun.
        let mut deadline = Duration::from_millis(250);
        let pid: i32 = loop {
            let error = secret_output(&command, 16, deadline).await.unwrap_err();
            let told = format!("it took more than {}", humantime::format_duration(deadline));
            assert_eq!(error.to_string(), told);
            let written = std::fs::read_to_string(&pid_file).unwrap_or_default();
            if let Ok(pid) = written.trim().parse() {
                break pid;
            }
            deadline *= 4;
        };
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let alive = || state().rsplit(')').next().is_some_and(|rest| rest.starts_with(" S"));
        for _ in 0..500 {
            if !alive() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child of the command lives on");
    }
}
