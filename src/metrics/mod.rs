//! Counts and durations of opens and of calls for sessions, and their text for Prometheus: what
//! `credmount/metrics` of a mount and `status --prometheus` show. Counting takes a few atomic
//! additions. Must not know files, FUSE, AWS or the time.

#![forbid(unsafe_code)]

mod calls;
mod histogram;
mod mount;
mod names;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::time::Duration;

pub use calls::CallMetrics;
pub use histogram::Histogram;
pub use mount::{AuditCounts, MountMetrics, OpenOutcome, RequestOutcome};

use text::Exposition;

/// One mount, as the text tells of it.
#[derive(Debug, Clone, Copy)]
pub struct MountView<'a> {
    /// The label `mount`: what the operator calls it.
    pub label: &'a str,
    /// What was counted of it.
    pub metrics: &'a MountMetrics,
    /// The roles it serves.
    pub roles: &'a [RoleGauge<'a>],
}

/// What one profile of a mount holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleGauge<'a> {
    /// The profile name that readers see.
    pub profile: &'a str,
    /// The role served; `None` for base credentials as they are.
    pub role_arn: Option<&'a str>,
    /// What is left of its session; zero if there is none, or if it may not be served.
    pub remaining: Duration,
}

/// The text for one mount's own file. Readers of the mount see it, in containers too, so of the
/// calls it has only those of the mount's role ARNs, and of other mounts nothing.
pub fn mount_text(mount: &MountView<'_>, calls: &CallMetrics) -> String {
    let roles: BTreeSet<&str> = mount.roles.iter().filter_map(|role| role.role_arn).collect();
    let mut text = Exposition::default();
    write(&mut text, &[*mount], calls, &|role| roles.contains(role));
    mount::write_audit(&mut text, &[(mount.label, mount.metrics.audit())]);
    text.finish()
}

/// The text for the operator: every mount, every role. `audit` counts the records that belong to
/// no mount, such as those of calls; their label `mount` is empty.
pub fn daemon_text(mounts: &[MountView<'_>], calls: &CallMetrics, audit: &AuditCounts) -> String {
    let mut text = Exposition::default();
    write(&mut text, mounts, calls, &|_| true);
    let of_mounts = mounts.iter().map(|mount| (mount.label, mount.metrics.audit()));
    mount::write_audit(&mut text, &of_mounts.chain([("", audit)]).collect::<Vec<_>>());
    text.finish()
}

fn write(
    text: &mut Exposition,
    mounts: &[MountView<'_>],
    calls: &CallMetrics,
    shows: &dyn Fn(&str) -> bool,
) {
    text.family(&names::BUILD_INFO);
    text.sample(&names::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    mount::write(text, mounts);
    calls.write(text, shows);
}
