//! `--supervise`: a small process that keeps the connections of the mounts, starts the daemon as its
//! child, and starts it again when it crashes or hangs. It holds no keys and reads no requests.
//!
//! It is to the daemon what systemd is to a service, and speaks the same messages.

mod pace;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use super::background;
use super::lifeline::WATCHDOG;
use crate::fuse::mount;
use crate::os::manager::{Kept, MOUNTPOINT, value};
use crate::os::orphans;
use crate::os::signals::{has_terminal, ignores_hangup};
use pace::{Next, Pace};
use worker::{End, Said, Worker};

/// The exit code by which a daemon asks to be started again, with its mounts kept.
pub(super) const RESTART: u8 = 75;

/// Runs the program at `program` with `args`, typed in `directory`, as the daemon until it ends for
/// good; returns its exit code. `detached` is whether this process stays in the background;
/// `given_up` is called when mounts are removed whose daemon could not do that itself.
///
/// # Errors
/// If the daemon cannot be started at all, or crashes over and over.
pub(super) fn run(
    program: &Path,
    args: &[OsString],
    directory: &Path,
    detached: bool,
    given_up: &dyn Fn(),
) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(async {
        let mut supervisor = Supervisor {
            kept: Kept::new(),
            mountpoints: BTreeMap::new(),
            signals: Signals::install()?,
            child_ended: signal(SignalKind::child()).context("catching signals")?,
            is_stopping: false,
        };
        let mut pace = Pace::default();
        let mut first = true;
        loop {
            let began = Instant::now();
            let (end, served) = match Worker::start(program, args, directory, &supervisor.kept) {
                Ok(mut worker) => {
                    if std::mem::take(&mut first) && detached {
                        // The daemon has a copy, by which it tells how it went; ours would keep it
                        // open.
                        background::leave_stdout();
                    }
                    supervisor.watch(&mut worker).await?
                }
                Err(error) if first => return Err(error),
                // It is being replaced, or the system has no process left at present.
                Err(error) => {
                    tracing::error!("{error:#}");
                    (End::NotStarted, false)
                }
            };
            if supervisor.is_stopping && end != End::Code(0) {
                supervisor.give_up(given_up);
                return Ok(ExitCode::SUCCESS);
            }
            match pace.next(end, served, began.elapsed()) {
                Next::End(code) => {
                    if code != 0 {
                        // A start that failed may have come as far as a mount.
                        supervisor.give_up(given_up);
                    }
                    return Ok(ExitCode::from(code));
                }
                Next::After(pause) => {
                    if end == End::Code(RESTART) {
                        tracing::info!("the daemon is started again");
                    } else {
                        tracing::warn!(%end, "the daemon ended; it is started again");
                    }
                    if supervisor.is_ended_within(pause).await {
                        supervisor.give_up(given_up);
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                Next::GiveUp => {
                    supervisor.give_up(given_up);
                    anyhow::bail!("the daemon ended over and over ({end}); its mounts are removed");
                }
            }
        }
    })
}

struct Supervisor {
    kept: Kept,
    /// Where the mounts are whose connections are kept, by the names of these.
    mountpoints: BTreeMap<String, PathBuf>,
    signals: Signals,
    child_ended: Signal,
    /// Whether somebody wants the daemon to end. One that was ending already has not heard of it.
    is_stopping: bool,
}

impl Supervisor {
    /// Watches one daemon to its end: how it ended, and whether it ever served.
    async fn watch(&mut self, worker: &mut Worker) -> Result<(End, bool)> {
        let mut served = false;
        let mut heard = Instant::now();
        loop {
            let limit = if served { WATCHDOG } else { START_LIMIT };
            tokio::select! {
                // What it has said counts before its silence does, also when we were late ourselves.
                biased;
                said = worker.said() => match said? {
                    Said::Message(text, descriptor) => {
                        heard = Instant::now();
                        served |= value(&text, "READY") == Some("1");
                        let name = value(&text, "FDNAME").map(str::to_owned);
                        match (name, descriptor) {
                            (Some(name), Some(descriptor)) => {
                                let mountpoint = value(&text, MOUNTPOINT).map(PathBuf::from);
                                self.mountpoints.extend(Some(name.clone()).zip(mountpoint));
                                self.kept.insert(name, descriptor);
                            }
                            (Some(name), None) if value(&text, "FDSTOREREMOVE").is_some() => {
                                self.kept.remove(&name);
                                self.mountpoints.remove(&name);
                            }
                            // A barrier's descriptor is dropped, which is its answer.
                            _ => {}
                        }
                    }
                    Said::End(end) => return Ok((end, served)),
                },
                signal = self.signals.next() => {
                    self.is_stopping |= self.signals.end_all(signal);
                    worker.signal(signal);
                }
                _ = self.child_ended.recv() => orphans::reap(worker.id()),
                () = sleep_until(heard + limit) => {
                    tracing::error!(seconds = limit.as_secs(), "the daemon does not answer; it is killed");
                    worker.kill();
                    heard = Instant::now();
                }
            }
        }
    }

    /// Whether somebody ends it all before the pause is over. To read the configuration anew is no
    /// end: the next daemon does.
    async fn is_ended_within(&mut self, pause: Duration) -> bool {
        let mut over = pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return false,
                signal = self.signals.next() => {
                    if self.signals.end_all(signal) {
                        return true;
                    }
                }
            }
        }
    }

    /// Lets go of all mounts. Those who read them get an error rather than wait for ever.
    fn give_up(&mut self, given_up: &dyn Fn()) {
        if !self.mountpoints.is_empty() {
            given_up();
        }
        let mountpoints: BTreeSet<&PathBuf> = self.mountpoints.values().collect();
        for mountpoint in mountpoints {
            if let Err(error) = mount::unmount(mountpoint) {
                tracing::warn!(%error, "a mount stays");
            }
        }
        self.kept.clear();
    }
}

/// The signals that are passed on to the daemon.
struct Signals {
    caught: Vec<(rustix::process::Signal, Signal)>,
    /// Whether there was a terminal at the start.
    terminal: bool,
}

impl Signals {
    fn install() -> Result<Self> {
        use rustix::process::Signal as Number;
        let hangup = (!ignores_hangup()).then_some((Number::HUP, SignalKind::hangup()));
        let kinds =
            [(Number::INT, SignalKind::interrupt()), (Number::TERM, SignalKind::terminate())];
        let install = |(number, kind)| Ok((number, signal(kind).context("catching signals")?));
        let caught = kinds.into_iter().chain(hangup).map(install).collect::<Result<_>>()?;
        Ok(Self { caught, terminal: has_terminal() })
    }

    /// Whether a signal ends daemon and supervisor. SIGHUP does where the terminal was closed.
    fn end_all(&self, signal: rustix::process::Signal) -> bool {
        signal != rustix::process::Signal::HUP || (self.terminal && !has_terminal())
    }

    async fn next(&mut self) -> rustix::process::Signal {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.caught {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// How long a daemon may take until it serves: base credentials may ask a human.
const START_LIMIT: Duration = Duration::from_mins(2);
