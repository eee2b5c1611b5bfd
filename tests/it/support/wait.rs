//! Polling with a deadline, instead of sleeping and hoping.

use std::time::{Duration, Instant};

use super::PATIENCE;

/// Waits until `found` gives something; panics with `what` after [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `is_so`.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

#[expect(clippy::disallowed_methods, reason = "a real daemon lives in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
