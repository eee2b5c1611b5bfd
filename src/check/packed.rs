//! How much of the space for policies and tags each session takes, as STS told with it.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::broker::{BoxFuture, ObserveCalls, SessionCall};

/// From here on, in percent, a person should know: a tag or two more, and STS refuses.
pub(super) const NEAR_THE_LIMIT: u8 = 80;

/// Listens to the calls of a check.
#[derive(Debug, Default)]
pub struct PackedSizes(Mutex<HashMap<String, u8>>);

impl PackedSizes {
    /// What STS told with the session of this access key id, in percent.
    pub(super) fn of(&self, access_key_id: &str) -> Option<u8> {
        self.0.lock().get(access_key_id).copied()
    }
}

impl ObserveCalls for PackedSizes {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        if let Ok(key) = &call.outcome
            && let Some(percent) = key.packed_percent
        {
            self.0.lock().insert(key.access_key_id.clone(), percent);
        }
        Box::pin(async {})
    }
}
