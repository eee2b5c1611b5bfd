//! Who may open what, and the record of it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::{Requester, Traffic};
use crate::audit::{self, Event, Recorder, RoleRead, Text};
use crate::metrics::{CallMetrics, MountMetrics, OpenOutcome};
use crate::model::Caller;
use crate::policy::{DecidedBy, Decision, Policy};
use crate::tree::{FileId, View};

/// Finds out who asks. Implemented by `os/`.
pub trait IdentifyCaller: Debug + Send + Sync + 'static {
    /// What can be known of the caller, who waits for the answer meanwhile. May block.
    fn identify(&self, requester: Requester) -> Caller;
}

/// The rules of one mount, and where its opens are recorded and counted.
#[derive(Debug, Clone)]
pub struct Gate {
    /// What records call the mount.
    pub label: String,
    /// Who may read what.
    pub policy: Policy,
    /// Who asks.
    pub identify: Arc<dyn IdentifyCaller>,
    /// Where opens are recorded.
    pub recorder: Arc<Recorder>,
    /// Where opens are counted.
    pub metrics: Arc<MountMetrics>,
    /// The calls of the daemon, of which a mount shows its own.
    pub calls: Arc<CallMetrics>,
}

/// What the rules say to one open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What the reader may see; `None` if it is refused.
    pub(super) view: Option<View>,
    by: DecidedBy,
}

impl Gate {
    /// The verdict, if it needs no more than what the kernel says, and no record is due. Never
    /// waits.
    pub(super) fn at_once(
        &self,
        file: FileId,
        requester: Requester,
        shows: impl Fn(View) -> bool,
    ) -> Option<Verdict> {
        if self.policy.needs_process() {
            return None;
        }
        let caller = Caller::unknown(requester.uid, requester.gid, requester.tid);
        let verdict = self.judge(&caller, shows);
        (!self.records(file, verdict)).then_some(verdict)
    }

    /// Whether a caller may use the writable directories, if the kernel's words are enough to say
    /// so.
    pub(super) fn admits_at_once(&self, requester: Requester) -> Option<bool> {
        if self.policy.needs_process() {
            return None;
        }
        let caller = Caller::unknown(requester.uid, requester.gid, requester.tid);
        Some(self.admits(&caller))
    }

    /// Whether a caller may use the writable directories: whoever may read every role. They hold
    /// sessions that were got by any role, and one reader uses what another one left.
    pub(super) fn admits(&self, caller: &Caller) -> bool {
        self.judge(caller, |view| view == View::ALL).view.is_some()
    }

    /// Who asks; known only by the kernel's words if nobody wants to know more, or `/proc` does not
    /// answer in time.
    pub(super) async fn caller(&self, requester: Requester, traffic: &Traffic) -> Caller {
        let unknown = Caller::unknown(requester.uid, requester.gid, requester.tid);
        if !self.policy.needs_process() && !self.recorder.is_on() {
            return unknown;
        }
        let identify = self.identify.clone();
        let known = traffic.ask_proc(move || identify.identify(requester)).await;
        known.unwrap_or(unknown)
    }

    /// Whether enough is known of a caller who reads by a handle of an earlier daemon to judge it as
    /// one who opens. The kernel sends some requests in nobody's name, with zeros.
    pub(super) fn knows(&self, caller: &Caller) -> bool {
        let is_nobody = (caller.uid, caller.gid, caller.tid) == (0, 0, 0);
        !is_nobody && (!self.policy.needs_process() || caller.process.is_some())
    }

    /// What the rules say; a file that the reader's view does not show is refused by the same rule.
    pub(super) fn judge(&self, caller: &Caller, shows: impl Fn(View) -> bool) -> Verdict {
        match self.policy.decide(caller) {
            Decision::Allowed { by, view } => {
                let view = Some(View(view)).filter(|view| shows(*view));
                Verdict { view, by }
            }
            Decision::Refused { by } => Verdict { view: None, by },
        }
    }

    /// Whether this open has to be recorded before it is answered: every refusal, and every open of
    /// a file that holds keys.
    pub(super) fn records(&self, file: FileId, verdict: Verdict) -> bool {
        self.recorder.is_on() && (file.holds_keys() || verdict.view.is_none())
    }

    /// Records an open. Returns when the record is written; false if the reader is to be refused
    /// because it cannot be.
    pub(super) async fn record(
        &self,
        path: &str,
        caller: &Caller,
        verdict: Verdict,
        roles: Vec<RoleRead>,
        since: Instant,
        now: SystemTime,
    ) -> bool {
        let event = Event::Open(Box::new(audit::Open {
            time: now,
            mount: Text::new(&self.label),
            file: Text::new(path),
            decision: match verdict.view {
                Some(_) => audit::Decision::Allowed,
                None => audit::Decision::Refused,
            },
            rule: Some(Text::new(&verdict.by.to_string())),
            roles,
            reader: caller.into(),
            latency_us: u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
        }));
        self.write(event).await
    }

    /// Writes and counts a record. False if who waits for it is to be refused because it cannot be
    /// written.
    pub(super) async fn write(&self, event: Event) -> bool {
        let recorded = self.recorder.record(event).await;
        match recorded {
            Ok(true) => self.metrics.audit().written(),
            Ok(false) | Err(_) => self.metrics.audit().failed(),
        }
        recorded.is_ok()
    }

    /// Counts an open of a file that holds keys, and every refusal.
    pub(super) fn count(&self, file: FileId, outcome: OpenOutcome, since: Instant) {
        if file.holds_keys() || outcome == OpenOutcome::Refused {
            self.metrics.opened(outcome, since.elapsed());
        }
    }
}
