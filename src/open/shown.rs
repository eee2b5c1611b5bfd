//! What a mount tells of itself: its status and its metrics. Must not know who asks.

use std::process;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::OpenService;
use crate::clock::CorrectedClock;
use crate::metrics::{MountView, RoleGauge, mount_text};
use crate::model::ClockSkew;
use crate::render::{MountStatus, instant};
use crate::status::{role_statuses, token_statuses};
use crate::tree::View;

impl OpenService {
    /// What `status` shows.
    pub fn status(&self) -> MountStatus {
        self.status_of(View::ALL)
    }

    /// The same for readers of a view, who see only their roles.
    pub(super) fn status_of(&self, view: View) -> MountStatus {
        let roles = role_statuses(&self.publisher, view, &self.broker, self.clock.now());
        MountStatus {
            name: self.options.name.clone(),
            mountpoint: self.options.mountpoint.clone(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: instant(self.life.since),
            reads: self.life.reads.load(Ordering::Relaxed),
            ends: None,
            audit: None,
            endpoint: None,
            keep_logins: None,
            clock_skew_seconds: self.clock_skew(),
            log_file: self.options.log_file.clone(),
            broken: None,
            roles,
            tokens: token_statuses(&self.publisher, view, self.clock.now()),
        }
    }

    /// What the gauges of metrics tell of each role and each token that a view shows.
    pub fn gauges(&self, view: View) -> Vec<(String, Option<String>, Duration)> {
        let now = self.clock.now();
        let left = |state: &str, seconds: Option<u64>| {
            Duration::from_secs(seconds.filter(|_| state == "live").unwrap_or_default())
        };
        let roles = role_statuses(&self.publisher, view, &self.broker, now).into_iter().map(|it| {
            let left = left(&it.state, it.remaining_seconds);
            (it.profile, it.role_arn, left)
        });
        let tokens = token_statuses(&self.publisher, view, now).into_iter();
        roles
            .chain(tokens.map(|it| {
                let left = left(&it.state, it.remaining_seconds);
                (it.name, None, left)
            }))
            .collect()
    }

    /// `credmount/metrics` for readers of all roles.
    pub fn metrics(&self) -> String {
        self.metrics_of(View::ALL)
    }

    fn clock_skew(&self) -> Option<i64> {
        let skew = self.clock.corrected().and_then(CorrectedClock::skew);
        skew.map(ClockSkew::seconds)
    }

    /// The same for readers of a view.
    pub(super) fn metrics_of(&self, view: View) -> String {
        let gauges = self.gauges(view);
        let roles: Vec<_> = gauges.iter().map(role_gauge).collect();
        let metrics = &self.gate.metrics;
        let mount = MountView { label: &self.gate.label, metrics, roles: &roles };
        mount_text(&mount, &self.gate.calls)
    }
}

/// A gauge as metrics take it.
pub fn role_gauge(gauge: &(String, Option<String>, Duration)) -> RoleGauge<'_> {
    let (profile, role_arn, remaining) = gauge;
    RoleGauge { profile, role_arn: role_arn.as_deref(), remaining: *remaining }
}
