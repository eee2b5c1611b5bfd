//! Tells the service manager that requests are being served, and of what.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::control::Roster;
use crate::broker::CLOCK_CHECK;
use crate::open::Traffic;
use crate::os::manager::Manager;

/// Feeds the watchdog for as long as requests are served, and keeps the status text up to date. A
/// daemon that is not fed is killed and started again by its manager. Returns at once if there is
/// nobody to tell.
pub(super) async fn feed(
    roster: Arc<Roster>,
    traffic: Arc<Traffic>,
    manager: Option<Arc<Manager>>,
    watchdog: Option<Duration>,
) {
    let Some(manager) = manager else { return };
    let mut told = String::new();
    // Three chances before the time is up.
    let mut ticks = interval(watchdog.map_or(CLOCK_CHECK, |limit| (limit / 3).min(CLOCK_CHECK)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(reason) = traffic.stuck(Instant::now()) {
            tracing::error!(reason, "requests are not served; the watchdog is not fed");
            continue;
        }
        let summary = roster.summary();
        let news = if summary == told { String::new() } else { format!("\nSTATUS={summary}") };
        let _ = manager.tell(&format!("WATCHDOG=1{news}"));
        told = summary;
    }
}
