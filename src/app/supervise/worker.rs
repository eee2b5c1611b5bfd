//! The daemon as its supervisor sees it: a process, and a socket on which it tells what it needs.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use crate::os::manager::{Kept, pass_on, receive};

/// One life of the daemon.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    /// Of type `SOCK_SEQPACKET`, which tokio has no name for, but which is read in the same way.
    /// `None` once the daemon has closed its end.
    socket: Option<UnixDatagram>,
}

/// What a daemon tells, or that it ended.
#[derive(Debug)]
pub(super) enum Said {
    Message(String, Option<OwnedFd>),
    End(End),
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal(i32),
    /// It could not be started.
    NotStarted,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::NotStarted => f.write_str("it could not be started"),
        }
    }
}

impl Worker {
    /// Starts the daemon and passes on what was kept for it. The program is looked up anew each
    /// time, so that one which was replaced meanwhile is the one that runs. It starts in `directory`,
    /// from where paths are meant, or in `/` should that be gone.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(
        program: &Path,
        args: &[OsString],
        directory: &Path,
        kept: &Kept,
    ) -> Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context("making a socket for the daemon")?;
        // As its stdin the other end survives the exec without being inheritable here.
        let mut command = Command::new(program);
        command.args(args).stdin(theirs).current_dir(directory);
        let child = command.spawn().or_else(|_| command.current_dir("/").spawn());
        let mut child = child.with_context(|| format!("starting {}", program.display()))?;
        // Its copy of the other end would hide that the daemon has ended.
        drop(command);
        set_socket_timeout(&ours, Timeout::Send, Some(PASSING_ON))
            .context("the daemon's socket")?;
        // One that has ended already says so by its exit code; one that takes nothing over hangs.
        if pass_on(ours.as_fd(), kept).is_err() {
            let _ = child.start_kill();
        }
        let socket = std::os::unix::net::UnixDatagram::from(ours);
        socket.set_nonblocking(true).context("the socket of the daemon")?;
        let socket = UnixDatagram::from_std(socket).context("the socket of the daemon")?;
        Ok(Self { child, socket: Some(socket) })
    }

    /// Waits until the daemon says something or ends.
    ///
    /// # Errors
    /// As waitpid(2).
    pub(super) async fn said(&mut self) -> Result<Said> {
        if let Some(socket) = &self.socket {
            loop {
                tokio::select! {
                    biased;
                    ready = socket.readable() => {
                        ready.context("listening to the daemon")?;
                        match socket.try_io(Interest::READABLE, || receive(socket.as_fd())) {
                            Ok(Some((text, fd))) => return Ok(Said::Message(text, fd)),
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            Ok(None) | Err(_) => break,
                        }
                    }
                    end = self.child.wait() => return ended(end),
                }
            }
            self.socket = None;
        }
        ended(self.child.wait().await)
    }

    /// The process, as long as nobody has waited for its end.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        // It has not been waited for, so the number is still its own.
        let _ = pid.map(|pid| kill_process(pid, signal));
    }

    /// Ends it, whatever it is doing.
    pub(super) fn kill(&mut self) {
        let _ = self.child.start_kill();
    }
}

fn ended(status: io::Result<ExitStatus>) -> Result<Said> {
    let status = status.context("waiting for the daemon")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let end = code.map_or_else(|| End::Signal(status.signal().unwrap_or_default()), End::Code);
    Ok(Said::End(end))
}

/// How long a daemon may take to take over one of many connections. It does that first of all.
const PASSING_ON: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_daemon_that_ends_before_it_has_taken_over_all_keeps_nobody_waiting() {
        // More than a socket takes.
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let kept: Kept = (0..600).map(|number| (format!("live-{number}.ro"), null())).collect();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let end = runtime.unwrap().block_on(async {
                let (shell, args) = (Path::new("/bin/sh"), ["-c".into(), "exit 7".into()]);
                let mut worker = Worker::start(shell, &args, Path::new("/"), &kept).unwrap();
                worker.said().await.unwrap()
            });
            tell.send(end).unwrap();
        });
        let said = told.recv_timeout(Duration::from_mins(1)).expect("nothing waits for ever");
        assert!(matches!(said, Said::End(End::Code(7))), "{said:?}");
    }
}
