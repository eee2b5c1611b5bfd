//! Opens that wait for the same content wait together: one of them does the work, however many
//! there are, and each costs little more than its request does.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::tree::{FileId, View};

/// The contents that are waited for.
#[derive(Debug, Default)]
pub(super) struct Together(Arc<Mutex<Waits>>);

type Waits = HashMap<(FileId, View), watch::Receiver<()>>;

impl Together {
    /// Returns when the work for this content has ended, in whatever way: that which is under way,
    /// or `work`, which goes on should its reader give up.
    pub(super) async fn wait<W>(&self, file: FileId, view: View, work: impl FnOnce() -> W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let mut ended = self.begun(file, view, work);
        // No value is ever sent: the sender is dropped at the end.
        while ended.changed().await.is_ok() {}
    }

    fn begun<W>(&self, file: FileId, view: View, work: impl FnOnce() -> W) -> watch::Receiver<()>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let mut waits = self.0.lock();
        if let Some(ended) = waits.get(&(file, view)) {
            return ended.clone();
        }
        let (end, ended) = watch::channel(());
        waits.insert((file, view), ended.clone());
        // A runtime that shuts down drops the work at once, which takes the lock.
        drop(waits);
        let begun = Begun { waits: self.0.clone(), key: (file, view), _end: end };
        let work = work();
        tokio::spawn(async move {
            work.await;
            drop(begun);
        });
        ended
    }
}

/// Work under way. Dropped at its end, also if that is a panic.
#[derive(Debug)]
struct Begun {
    waits: Arc<Mutex<Waits>>,
    key: (FileId, View),
    _end: watch::Sender<()>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.waits.lock().remove(&self.key);
    }
}

/// What the work gives; `None` if it panics, of which the log tells already.
pub(super) async fn unless_panicking<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        // Nothing looks at the work again after a panic.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(result)) => Poll::Ready(Some(result)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_wait_for_one_content_have_the_work_done_once() {
        let (together, begun) = (Arc::new(Together::default()), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let mut waits = JoinSet::new();
        for number in 0..1000 {
            let (together, begun) = (together.clone(), begun.clone());
            let file = FileId::Process(number % 2);
            waits.spawn(async move {
                let work = || async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_secs(3)).await;
                };
                together.wait(file, View::ALL, work).await;
            });
        }
        waits.join_all().await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(together.0.lock().is_empty());
    }

    #[tokio::test]
    async fn work_that_panics_has_ended_and_is_begun_anew() {
        let together = Together::default();
        for _ in 0..2 {
            together.wait(FileId::Credentials, View::ALL, || async { panic!("scripted") }).await;
        }
        assert!(together.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_no_result() {
        assert_eq!(unless_panicking(async { 1 }).await, Some(1));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("scripted")
        };
        assert_eq!(unless_panicking(panics).await, None::<()>);
    }
}
