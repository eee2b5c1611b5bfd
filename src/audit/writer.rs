//! The thread that writes records: takes batches from the queue, gives them to every sink, and
//! tells those who wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::queue::{Entry, Work};
use super::record::Event;
use super::sink::Sink;
use super::state::{OnFailure, Shared};

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    sinks: Vec<Watched>,
}

/// A sink and how it fares.
#[derive(Debug)]
struct Watched {
    sink: Box<dyn Sink>,
    /// Records lost since it last worked; `None` while it works.
    lost: Option<usize>,
    is_reopening_due: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, sinks: Vec<Box<dyn Sink>>) -> Self {
        let watched = |sink| Watched { sink, lost: None, is_reopening_due: false };
        Self { shared, sinks: sinks.into_iter().map(watched).collect() }
    }

    /// Blocks until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            match self.shared.queue.next() {
                Work::Write(entries) => self.write(entries),
                Work::Reopen => self.reopen(),
                Work::End => return,
            }
        }
    }

    fn write(&mut self, mut entries: Vec<Entry>) {
        // Their readers were refused, so a record that they were served would be false.
        if self.shared.on_failure == OnFailure::Refuse {
            entries.retain(|entry| !entry.is_abandoned());
        }
        let mut waiting = Vec::with_capacity(entries.len());
        let mut events: Vec<Event> = Vec::with_capacity(entries.len());
        for Entry { event, answer, is_counted, note, place } in entries {
            events.push(event);
            waiting.push((answer, is_counted, note, place));
        }
        let mut lost = vec![false; events.len()];
        for watched in self.sinks.iter_mut().filter(|_| !events.is_empty()) {
            watched.write(&self.shared, &events, &mut lost);
        }
        self.done();
        for ((answer, is_counted, note, place), is_lost) in waiting.into_iter().zip(lost) {
            let is_abandoned = answer.as_ref().is_some_and(oneshot::Sender::is_closed);
            if !is_lost {
                self.shared.written.fetch_add(1, Ordering::Relaxed);
            } else if !is_counted && !is_abandoned {
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(note) = note {
                note.add(!is_lost);
            }
            drop(place);
            if let Some(answer) = answer {
                // Whoever waited may have given up.
                let _ = answer.send(!is_lost);
            }
        }
    }

    fn reopen(&mut self) {
        for watched in &mut self.sinks {
            watched.reopen(&self.shared);
        }
        self.done();
    }

    /// The sinks have answered.
    fn done(&self) {
        let is_failing = |watched: &Watched| watched.lost.is_some() || watched.is_reopening_due;
        self.shared.is_failing.store(self.sinks.iter().any(is_failing), Ordering::Relaxed);
        self.shared.answered();
    }
}

impl Watched {
    /// Marks in `lost` what the sink does not have. Logs only when something changes.
    fn write(&mut self, shared: &Shared, events: &[Event], lost: &mut [bool]) {
        let mut lost_here = vec![false; events.len()];
        let result = self.sink.write(events, &mut lost_here);
        let count = lost_here.iter().filter(|is_lost| **is_lost).count();
        lost.iter_mut().zip(lost_here).for_each(|(lost, here)| *lost |= here);
        let name = self.sink.name();
        match result {
            Ok(()) => {
                if let Some(lost) = self.lost.take() {
                    tracing::info!(sink = name, lost, "the audit log is written again");
                }
            }
            Err(error) => {
                *shared.last_error.lock() = Some(format!("{name}: {error}"));
                if self.lost.is_none() {
                    let on_audit_failure = shared.on_failure;
                    tracing::error!(
                        sink = name, %error, ?on_audit_failure,
                        "the audit log cannot be written"
                    );
                }
                *self.lost.get_or_insert(0) += count;
            }
        }
    }

    fn reopen(&mut self, shared: &Shared) {
        let name = self.sink.name();
        match self.sink.reopen() {
            Ok(()) => self.is_reopening_due = false,
            Err(error) => {
                *shared.last_error.lock() =
                    Some(format!("{name} cannot be opened anew, the old file is in use: {error}"));
                tracing::error!(
                    sink = name, %error,
                    "the audit log cannot be opened anew; records go to the old file"
                );
                self.is_reopening_due = true;
            }
        }
    }
}
