//! What is counted of one mount.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::MountView;
use super::histogram::{Histogram, OPEN_BOUNDS};
use super::names::{
    AUDIT_FAILURES, AUDIT_RECORDS, OPEN_DURATION, OPENS, OPENS_BUSY, OPENS_READY, REQUESTS,
    SESSION_REMAINING,
};
use super::text::Exposition;

/// How an open of a file with keys ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenOutcome {
    /// Allowed, and answered from what was rendered already.
    Ready,
    /// Allowed, after waiting for a session or for its rendering.
    Waited,
    /// Allowed, and answered with what was there, because too many others waited.
    Busy,
    /// Refused by the rules of the mount.
    Refused,
}

/// How a request to the endpoint of a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// With keys.
    Served,
    /// Without, because the role has none.
    Failing,
    /// Refused: no token or a wrong one, not the right host, or no such role.
    Refused,
    /// Not looked into, because there were too many.
    Limited,
}

impl RequestOutcome {
    const ALL: [(Self, &str); 4] = [
        (Self::Served, "served"),
        (Self::Failing, "failing"),
        (Self::Refused, "refused"),
        (Self::Limited, "limited"),
    ];
}

/// The counts of one mount, from its start on. Threads add to them without waiting.
#[derive(Debug)]
pub struct MountMetrics {
    ready: AtomicU64,
    waited: AtomicU64,
    busy: AtomicU64,
    refused: AtomicU64,
    duration: Histogram,
    /// By the numbers of [`RequestOutcome`].
    requests: [AtomicU64; 4],
    audit: AuditCounts,
}

impl Default for MountMetrics {
    fn default() -> Self {
        Self {
            ready: AtomicU64::default(),
            waited: AtomicU64::default(),
            busy: AtomicU64::default(),
            refused: AtomicU64::default(),
            duration: Histogram::new(OPEN_BOUNDS),
            requests: Default::default(),
            audit: AuditCounts::default(),
        }
    }
}

impl MountMetrics {
    /// Counts one open; `latency` is from the request to the answer, by a monotonic clock.
    pub fn opened(&self, outcome: OpenOutcome, latency: Duration) {
        let count = match outcome {
            OpenOutcome::Ready => &self.ready,
            OpenOutcome::Waited => &self.waited,
            OpenOutcome::Busy => &self.busy,
            OpenOutcome::Refused => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.duration.observe(latency);
    }

    /// Counts one request to the endpoint.
    pub fn requested(&self, outcome: RequestOutcome) {
        self.requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts of audit records about this mount.
    pub fn audit(&self) -> &AuditCounts {
        &self.audit
    }
}

/// How many audit records were written, and how many could not be.
#[derive(Debug, Default)]
pub struct AuditCounts {
    written: AtomicU64,
    failed: AtomicU64,
}

impl AuditCounts {
    /// Counts that begin with these numbers.
    pub fn new(written: u64, failed: u64) -> Self {
        Self { written: written.into(), failed: failed.into() }
    }

    /// Counts a record that was written.
    pub fn written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a record that could not be written.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records could not be written.
    pub fn failures(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The families of opens and of the sessions served.
pub(super) fn write(text: &mut Exposition, mounts: &[MountView<'_>]) {
    text.family(&OPENS);
    for MountView { label, metrics, .. } in mounts {
        let allowed = load(&metrics.ready) + load(&metrics.waited) + load(&metrics.busy);
        for (decision, count) in [("allowed", allowed), ("refused", load(&metrics.refused))] {
            text.sample(&OPENS, &[("mount", label), ("decision", decision)], count);
        }
    }
    text.family(&OPENS_READY);
    for MountView { label, metrics, .. } in mounts {
        text.sample(&OPENS_READY, &[("mount", label)], load(&metrics.ready));
    }
    text.family(&OPENS_BUSY);
    for MountView { label, metrics, .. } in mounts {
        text.sample(&OPENS_BUSY, &[("mount", label)], load(&metrics.busy));
    }
    text.family(&OPEN_DURATION);
    for MountView { label, metrics, .. } in mounts {
        metrics.duration.write(text, &OPEN_DURATION, &[("mount", label)]);
    }
    text.family(&REQUESTS);
    for MountView { label, metrics, .. } in mounts {
        for (outcome, result) in RequestOutcome::ALL {
            let count = load(&metrics.requests[outcome as usize]);
            text.sample(&REQUESTS, &[("mount", label), ("result", result)], count);
        }
    }
    text.family(&SESSION_REMAINING);
    for MountView { label, roles, .. } in mounts {
        for role in *roles {
            let role_arn = role.role_arn.unwrap_or_default();
            let labels = [("mount", *label), ("profile", role.profile), ("role", role_arn)];
            text.sample(&SESSION_REMAINING, &labels, role.remaining.as_secs());
        }
    }
}

/// The families of audit records, by the label `mount`.
pub(super) fn write_audit(text: &mut Exposition, counts: &[(&str, &AuditCounts)]) {
    text.family(&AUDIT_RECORDS);
    for (label, audit) in counts {
        text.sample(&AUDIT_RECORDS, &[("mount", label)], load(&audit.written));
    }
    text.family(&AUDIT_FAILURES);
    for (label, audit) in counts {
        text.sample(&AUDIT_FAILURES, &[("mount", label)], load(&audit.failed));
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
