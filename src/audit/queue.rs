//! The queue between those who have something to record and the thread that writes it. Must not
//! know sinks.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::counts::Counts;
use super::record::Event;

/// The most records of one write. Bounds how long the first waiter of a batch waits for the last.
pub(super) const BATCH: usize = 256;

/// A record that waits to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) event: Event,
    /// Where somebody waits for it.
    pub(super) answer: Option<oneshot::Sender<bool>>,
    /// Whether it was counted as failed already, because the sink hangs.
    pub(super) is_counted: bool,
    /// Where a note is counted, of which nobody else is told.
    pub(super) note: Option<Arc<Counts>>,
    /// Its place in the queue, given back when it is dropped. Notes take none.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// Whether somebody waited for it and has given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these, in this order.
    Write(Vec<Entry>),
    /// Turn to a new file.
    Reopen,
    /// End: the queue is closed and empty.
    End,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    is_reopening: bool,
    is_closed: bool,
}

impl Queue {
    /// Adds a record; gives it back if the queue is closed or has `most` records.
    pub(super) fn push(&self, entry: Entry, most: usize) -> Result<(), Box<Entry>> {
        let mut state = self.state.lock();
        if state.is_closed || state.entries.len() >= most {
            return Err(Box::new(entry));
        }
        state.entries.push_back(entry);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Asks for a new file, before what is in the queue now.
    pub(super) fn reopen(&self) {
        self.state.lock().is_reopening = true;
        self.wake.notify_one();
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// The number of records that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    /// Blocks until there is something to do.
    pub(super) fn next(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            if state.is_reopening {
                state.is_reopening = false;
                return Work::Reopen;
            }
            if !state.entries.is_empty() {
                let count = state.entries.len().min(BATCH);
                return Work::Write(state.entries.drain(..count).collect());
            }
            if state.is_closed {
                return Work::End;
            }
            self.wake.wait(&mut state);
        }
    }
}
