//! The signals that end the daemon or make it reload.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::os::signals::{has_terminal, ignores_hangup};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// To end, by the signal of this name.
    Stop(&'static str),
    /// To read the configuration anew.
    Reload,
}

/// The signals, caught from the start, so that none leaves a mount behind.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where it is ignored, as below nohup.
    hangup: Option<Signal>,
    /// Whether there was a terminal at the start.
    terminal: bool,
}

impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    /// As sigaction(2).
    pub(super) fn install() -> Result<Self> {
        let install = |kind| signal(kind).context("catching signals");
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(install(SignalKind::hangup())?) },
            terminal: has_terminal(),
        })
    }

    /// Waits for a signal.
    pub(super) async fn heard(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::Stop("SIGINT"),
            _ = self.terminate.recv() => Heard::Stop("SIGTERM"),
            // One signal, two meanings: a daemon in the foreground gets it when its terminal was
            // closed, any daemon from who wants it to reload.
            () = hangup(&mut self.hangup) => if self.terminal && !has_terminal() {
                Heard::Stop("SIGHUP")
            } else {
                Heard::Reload
            },
        }
    }

    /// Waits for a signal that ends the daemon; it has nothing to reload yet.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Heard::Stop(signal) = self.heard().await {
                return signal;
            }
        }
    }
}

async fn hangup(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
