//! How long a mount that was added at run time lasts.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::state::AddedState;
use crate::audit::UnmountReason;
use crate::broker::CLOCK_CHECK;
use crate::clock::Clock;
use crate::config::AddedMount;
use crate::control::LeaseRequest;
use crate::os::process;

/// The lease of one mount: over when its time is up or its process has ended, whichever is first.
#[derive(Debug)]
pub(super) struct Lease {
    until: Option<SystemTime>,
    process: Option<Arc<OwnedFd>>,
    /// The number of the process, and when it started.
    identity: Option<(i32, u64)>,
    cancelled: Arc<Notify>,
}

impl Lease {
    /// A lease that begins at `now`. The process is held by a descriptor, so that another one that
    /// gets its number later is never taken for it.
    ///
    /// # Errors
    /// If there is no such process, or no clock can tell the end.
    pub(super) fn new(asked: &LeaseRequest, now: SystemTime) -> Result<Self> {
        let held = asked.while_pid.map(|pid| {
            let open = || {
                let number = Pid::from_raw(pid).context("0 is no process")?;
                anyhow::Ok(Arc::new(pidfd_open(number, PidfdFlags::empty())?))
            };
            open().with_context(|| format!("process {pid} of --while-pid"))
        });
        let identity = asked.while_pid.and_then(|pid| Some((pid, process::start_time(pid)?)));
        let until = asked.for_seconds.map(|seconds| {
            let until = now.checked_add(Duration::from_secs(seconds));
            until.context("--for ends later than any clock can tell: leave it out, or choose less")
        });
        Ok(Self {
            until: until.transpose()?,
            process: held.transpose()?,
            identity,
            cancelled: Arc::new(Notify::new()),
        })
    }

    /// The lease that an earlier daemon began; `None` if it is over at `now`.
    pub(super) fn resume(state: &AddedState, now: SystemTime) -> Option<Self> {
        let until = match state.until {
            Some(seconds) => Some(UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?),
            None => None,
        };
        if until.is_some_and(|until| until <= now) {
            return None;
        }
        let while_pid = state.process.map(|(pid, _)| pid);
        let lease = Self::new(&LeaseRequest { for_seconds: None, while_pid }, now).ok()?;
        // Another process may have got the number since.
        (lease.identity == state.process).then_some(Self { until, ..lease })
    }

    /// What a later daemon has to know of it.
    pub(super) fn state(&self, mount: AddedMount) -> AddedState {
        let seconds =
            |until: SystemTime| until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        AddedState { mount, until: self.until.map(seconds), process: self.identity }
    }

    /// When it is over at the latest.
    pub(super) fn until(&self) -> Option<SystemTime> {
        self.until
    }

    /// Calls `over` with the reason once it is over, unless it is cancelled before.
    pub(super) fn watch(
        &self,
        clock: Arc<dyn Clock>,
        over: impl FnOnce(UnmountReason) + Send + 'static,
    ) {
        let (until, process) = (self.until, self.process.clone());
        let cancelled = self.cancelled.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = time(until, &*clock) => over(UnmountReason::Expired),
                () = end_of(process) => over(UnmountReason::ProcessEnded),
                () = cancelled.notified() => {}
            }
        });
    }

    /// The mount has ended otherwise.
    pub(super) fn cancel(&self) {
        self.cancelled.notify_one();
    }
}

/// Returns at `until`, which the wall clock decides, because timers stop during suspend.
async fn time(until: Option<SystemTime>, clock: &dyn Clock) {
    let Some(until) = until else { return std::future::pending().await };
    while let Ok(rest) = until.duration_since(clock.now()) {
        if rest.is_zero() {
            return;
        }
        sleep(rest.min(CLOCK_CHECK)).await;
    }
}

/// Returns when the process has ended: its descriptor is readable then (`pidfd_open(2)`).
async fn end_of(process: Option<Arc<OwnedFd>>) {
    let Some(process) = process else { return std::future::pending().await };
    while !has_ended(&process) {
        sleep(PROCESS_CHECK).await;
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// How soon the end of a process is noticed.
const PROCESS_CHECK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;
    use crate::broker::testing::TestClock;

    /// Why the lease was over, if it was within `limit`.
    async fn end(lease: &Lease, clock: Arc<TestClock>, limit: Duration) -> Option<UnmountReason> {
        let (tell, told) = oneshot::channel();
        lease.watch(clock, move |reason| tell.send(reason).unwrap());
        timeout(limit, told).await.ok().and_then(Result::ok)
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_is_told_by_the_wall_clock() {
        let clock = Arc::new(TestClock::new());
        let asked = LeaseRequest { for_seconds: Some(8 * 3600), while_pid: None };
        let lease = Lease::new(&asked, clock.now()).unwrap();
        assert_eq!(end(&lease, clock.clone(), Duration::from_hours(7)).await, None);
        let reason = end(&lease, clock, Duration::from_hours(2)).await;
        assert_eq!(reason, Some(UnmountReason::Expired));
    }

    /// A panic would end the daemon's own task, and with it all of its mounts.
    #[test]
    fn a_time_beyond_all_clocks_is_refused() {
        let now = TestClock::new().now();
        let asked = LeaseRequest { for_seconds: Some(u64::MAX), while_pid: None };
        let error = Lease::new(&asked, now).unwrap_err();
        assert!(error.to_string().contains("--for ends later"), "{error:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_lease_says_nothing() {
        let clock = Arc::new(TestClock::new());
        let asked = LeaseRequest { for_seconds: Some(60), while_pid: None };
        let lease = Lease::new(&asked, clock.now()).unwrap();
        lease.cancel();
        assert_eq!(end(&lease, clock, Duration::from_hours(1)).await, None);
    }

    #[tokio::test]
    async fn the_end_of_its_process_is_noticed() {
        let clock = Arc::new(TestClock::new());
        let mut process = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(process.id()).unwrap();
        let asked = LeaseRequest { for_seconds: None, while_pid: Some(pid) };
        let lease = Lease::new(&asked, clock.now()).unwrap();
        assert!(!has_ended(lease.process.as_ref().unwrap()));
        process.kill().unwrap();
        process.wait().unwrap();
        let reason = end(&lease, clock.clone(), Duration::from_secs(30)).await;
        assert_eq!(reason, Some(UnmountReason::ProcessEnded));
        let error = Lease::new(&asked, clock.now()).unwrap_err();
        assert!(format!("{error:#}").contains(&format!("process {pid} of --while-pid")));
    }
}
