//! Runs a program that prints an MFA code. Must not know which device the code is of.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::model::MfaCode;

/// The code that `command` prints. It has no input, what it says on stderr is nobody's business, and
/// what is left of it and its children when it is late, or nobody waits any more, is killed.
///
/// # Errors
/// What went wrong, without a word of what was printed.
pub(super) async fn code(command: Command, deadline: Duration) -> Result<MfaCode, String> {
    match timeout(deadline, output(command)).await {
        Ok(text) => {
            MfaCode::find(&text?).map_err(|_| "it printed no code of six digits".to_owned())
        }
        Err(_) => Err(format!("it took more than {}", humantime::format_duration(deadline))),
    }
}

/// What `command` prints.
async fn output(mut command: Command) -> Result<Zeroizing<String>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST));
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(MOST as u64).read_to_end(&mut bytes).await;
        read.map_err(|error| format!("its output cannot be read: {error}"))?;
    }
    let status = child.wait().await.map_err(|error| format!("it cannot be waited for: {error}"))?;
    group.is_over();
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The processes that a command started. Dropped before the command has ended, it ends them.
struct Group(Option<Pid>);

impl Group {
    /// The command has been waited for: its number may be that of another soon.
    fn is_over(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // They may have ended by themselves.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// No program needs more to print a code.
const MOST: usize = 4096;
