//! The key pairs of ssh certificates, each for as long as somebody holds it. The broker does from the
//! first certificate on, until it forgets the grant because no mount needs it any more or all are
//! locked: so what is read before a renewal and what is read after it belong together, and nothing is
//! kept for those that are needed no more.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::model::{SshGrant, SshKey};
use crate::openssh;

/// The pairs by what they are for.
#[derive(Debug, Default)]
pub(super) struct SshKeys(Mutex<HashMap<SshGrant, Weak<SshKey>>>);

impl SshKeys {
    /// The pair of a grant, a new one if nobody holds any.
    ///
    /// # Errors
    /// No random bytes can be had.
    pub(super) fn of(&self, grant: &SshGrant) -> io::Result<Arc<SshKey>> {
        let mut keys = self.0.lock();
        if let Some(key) = keys.get(grant).and_then(Weak::upgrade) {
            return Ok(key);
        }
        keys.retain(|_, key| key.strong_count() > 0);
        let key = Arc::new(openssh::new_key()?);
        keys.insert(grant.clone(), Arc::downgrade(&key));
        Ok(key)
    }
}
