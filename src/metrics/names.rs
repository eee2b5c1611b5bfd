//! Every metric: name, type and help. Durations are in seconds, as Prometheus wants them.

/// A metric family.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help }
}

pub(super) const BUILD_INFO: Family =
    gauge("credmount_build_info", "Always 1; the label tells the version of the daemon.");

pub(super) const OPENS: Family = counter(
    "credmount_opens_total",
    "Opens of files that hold keys, by whether the rules of the mount allowed them.",
);

/// Divided by the allowed opens: the share that found everything ready.
pub(super) const OPENS_READY: Family = counter(
    "credmount_open_ready_total",
    "Allowed opens that were answered from what was rendered already, without waiting.",
);

pub(super) const OPENS_BUSY: Family = counter(
    "credmount_open_busy_total",
    "Allowed opens that were not let wait for a session, because too many others waited.",
);

pub(super) const REQUESTS: Family = counter(
    "credmount_endpoint_requests_total",
    "Requests to the endpoint of a mount, by result: served, failing (the role), refused, limited.",
);

pub(super) const OPEN_DURATION: Family = histogram(
    "credmount_open_duration_seconds",
    "Time from the request of the kernel to the answer of an open, refused ones included.",
);

pub(super) const SESSION_REMAINING: Family = gauge(
    "credmount_session_remaining_seconds",
    "Remaining lifetime of the session served; 0 without one.",
);

pub(super) const RENEWALS: Family = counter(
    "credmount_renewals_total",
    "Calls for sessions and tokens, by role, by action of the API and by result: ok, or why there is none.",
);

pub(super) const STS_DURATION: Family = histogram(
    "credmount_sts_duration_seconds",
    "Time that a call of STS took, failed ones included.",
);

pub(super) const CLOCK_SKEW: Family = gauge(
    "credmount_clock_skew_seconds",
    "How far the clock of this machine is ahead of that of AWS; negative: behind.",
);

pub(super) const AUDIT_RECORDS: Family =
    counter("credmount_audit_records_total", "Audit records written, by the mount they are about.");

pub(super) const AUDIT_FAILURES: Family = counter(
    "credmount_audit_failures_total",
    "Audit records that could not be written, by the mount they are about.",
);
