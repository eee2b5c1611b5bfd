//! What of the sessions and logins of the daemon lies in the safe for the one that follows.

use std::path::Path;
use std::sync::Arc;

use super::{Clock, Daemon, Safe};
use crate::config::{KeepLogins, Settings};

/// Whether logins are to outlive the daemon.
pub(super) fn wanted(settings: &Settings) -> bool {
    settings.keep_logins == KeepLogins::Keyring
}

/// The safe of the daemon with this state file. While it is not known what is wanted, because the
/// settings are wrong, what is in it stays.
pub(super) fn safe(
    state_file: &Path,
    clock: &Arc<dyn Clock>,
    settings: Option<&Settings>,
    locked: bool,
) -> Arc<Safe> {
    let safe = Safe::of(state_file, clock.clone());
    if let Some(settings) = settings {
        safe.set_open(wanted(settings) && !locked);
    }
    Arc::new(safe)
}

impl Daemon {
    /// Puts into the safe what belongs there by now, or takes out all.
    pub(super) fn fill_safe(&self) {
        let shared = &self.shared;
        if !shared.safe.set_open(shared.keeps_logins && !shared.locked) {
            return;
        }
        shared.logins.keep_all();
        for it in &self.mounts {
            for chain in it.mount.plan.served.chains() {
                let session = chain.mfa_chain().map(Arc::new);
                let held = session.and_then(|chain| shared.broker.status(&chain).session);
                if let (Some(mfa), Some(held)) = (chain.mfa(), held) {
                    shared.safe.keep_session(mfa, &held);
                }
            }
        }
    }
}
