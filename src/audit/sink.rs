//! The port to what records are written to.

use std::{fmt, io};

use super::record::Event;

/// Where records go. Only the writer thread calls it, so it may block; whoever waits for a record
/// does not wait for a sink that hangs.
pub(super) trait Sink: fmt::Debug + Send {
    /// What people call it, for messages.
    fn name(&self) -> String;

    /// Stores the events in their order, and marks in `lost`, which is as long, those that it
    /// could not store.
    ///
    /// # Errors
    /// The first failure, if any event was lost.
    fn write(&mut self, events: &[Event], lost: &mut [bool]) -> io::Result<()>;

    /// Turns to a new file after the old one was renamed.
    ///
    /// # Errors
    /// As opening it; then the old one stays in use.
    fn reopen(&mut self) -> io::Result<()>;
}
