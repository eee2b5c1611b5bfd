//! What is counted of the calls that give sessions and tokens, by what was asked for. All mounts that use a role count together, since
//! they may share its sessions.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::histogram::{Histogram, STS_BOUNDS};
use super::names::{CLOCK_SKEW, RENEWALS, STS_DURATION};
use super::text::Exposition;
use crate::broker::{BoxFuture, CallKind, ObserveCalls, SessionCall};

/// The counts of a daemon's calls, from its start on, and what their answers told of the time.
#[derive(Debug, Default)]
pub struct CallMetrics {
    /// By subject: the ARN of a role, or what else was asked for.
    roles: Mutex<BTreeMap<String, RoleCalls>>,
    clock_skew: Mutex<Option<i64>>,
}

#[derive(Debug)]
struct RoleCalls {
    /// By action, and by result: `ok`, or the name of the cause.
    results: BTreeMap<(CallKind, &'static str), u64>,
    duration: Histogram,
}

impl Default for RoleCalls {
    fn default() -> Self {
        Self { results: BTreeMap::default(), duration: Histogram::new(STS_BOUNDS) }
    }
}

impl CallMetrics {
    /// Counts one call.
    pub fn count(&self, call: &SessionCall) {
        let result = call.outcome.as_ref().map_or_else(|failed| failed.cause.name(), |_| "ok");
        let mut roles = self.roles.lock();
        let role = roles.entry(call.subject.clone()).or_default();
        *role.results.entry((call.kind, result)).or_default() += 1;
        if call.kind.is_of_sts() {
            role.duration.observe(call.latency);
        }
    }

    /// The families of calls, with the roles that `shows` lets through.
    pub(super) fn write(&self, text: &mut Exposition, shows: &dyn Fn(&str) -> bool) {
        let roles = self.roles.lock();
        let visible = || roles.iter().filter(|(role_arn, _)| shows(role_arn));
        text.family(&RENEWALS);
        for (role_arn, role) in visible() {
            for ((kind, result), count) in &role.results {
                let labels =
                    [("role", role_arn.as_str()), ("action", kind.name()), ("result", result)];
                text.sample(&RENEWALS, &labels, count);
            }
        }
        text.family(&STS_DURATION);
        let of_sts = |role: &RoleCalls| role.results.keys().any(|(kind, _)| kind.is_of_sts());
        for (role_arn, role) in visible().filter(|(_, role)| of_sts(role)) {
            role.duration.write(text, &STS_DURATION, &[("role", role_arn)]);
        }
        text.family(&CLOCK_SKEW);
        if let Some(seconds) = *self.clock_skew.lock() {
            text.sample(&CLOCK_SKEW, &[], seconds);
        }
    }
}

impl ObserveCalls for CallMetrics {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        self.count(call);
        Box::pin(std::future::ready(()))
    }

    fn clock_skew(&self, seconds: i64) {
        *self.clock_skew.lock() = Some(seconds);
    }
}
