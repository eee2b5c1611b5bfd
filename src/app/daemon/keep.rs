//! What of the sessions and logins of the daemon lies in the safe for the one that follows.

use std::sync::Arc;

use super::{Clock, Daemon, Safe, Shared, needs};
use crate::broker::ObserveCalls;
use crate::config::{KeepLogins, Settings};
use crate::identity::Logins;
use crate::sts::OidcClient;

/// Whether logins are to outlive the daemon.
pub(super) fn wanted(settings: &Settings) -> bool {
    settings.keep_logins == KeepLogins::Keyring
}

/// Nobody is logged in yet but those whose login lies in the safe.
pub(super) fn logins(
    safe: &Arc<Safe>,
    clock: &Arc<dyn Clock>,
    observer: Arc<dyn ObserveCalls>,
) -> Arc<Logins> {
    let logins = Logins::new(Arc::new(OidcClient::new(clock.clone())), clock.clone());
    Arc::new(logins.observed_by(observer).keeping(safe.clone()))
}

/// Opens the safe of a daemon that has its mounts, so that no other one has the same safe; takes out
/// what is not wanted. While the configuration is broken all that is in it stays.
pub(super) fn begin(shared: &Shared, settings: &Settings) {
    if shared.broken.is_none() {
        shared.safe.set_open(shared.keeps_logins && !shared.locked);
        shared.safe.retain(&needs::identities_of(settings), &needs::mfa_of(settings));
    }
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
