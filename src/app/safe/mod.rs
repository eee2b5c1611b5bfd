//! The safe: where logins at issuers and sessions with MFA lie for the daemon that follows on this
//! one, if that is wanted. It is the keyring that the kernel has for the user.
//!
//! 1. What lies there is what the daemon holds, at each moment: it is replaced with it, and taken out
//!    when that is forgotten, when the mounts are locked, and when the daemon ends for good. A crash
//!    and a restart leave it.
//! 2. The kernel forgets it by itself when it ends; of a login that can be renewed for ever, after
//!    [`UNUSED`].
//! 3. It is for one daemon: another one has a state file of another name. What makes a login or a
//!    session what it is stands beside it and must be the same.
//! 4. Nothing that is found there, or not, is an error. Where nothing can be kept, one is warned
//!    once, and all goes on in memory.

mod payload;
mod sessions;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

pub(super) use sessions::KeptSessions;

use self::payload::{Bytes, Now, Unusable};
use crate::clock::{Clock, CorrectedClock, Machine, SystemClock};
use crate::fnv::fnv1a;
use crate::identity::{KeepLogins, KeptLogin};
use crate::model::{MfaSession, OidcIdentity, Perishable as _, StsSession};
use crate::os::keyring::{KeyringError, Keys, LARGEST};
use crate::render::KeepStatus;

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Safe {
    scope: String,
    keys: Keys,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether anything is to be kept now.
    is_open: bool,
    /// Why the last that was to be kept is not.
    trouble: Option<KeyringError>,
    /// Sessions that were looked for: what an earlier daemon has left is taken over once.
    looked_for: HashSet<MfaSession>,
    /// The names of what was put or found there: in containers the kernel lists none.
    known: BTreeSet<String>,
}

impl State {
    /// Notes why nothing can be kept, if so.
    fn note(&mut self, trouble: Option<KeyringError>) {
        if let (Some(error), true) = (trouble, self.trouble != trouble) {
            tracing::warn!(%error, "logins and MFA sessions are in memory only");
        }
        self.trouble = trouble;
    }
}

impl Safe {
    /// That of the daemon with this state file; closed.
    pub(super) fn of(state_file: &Path, clock: Arc<dyn Clock>) -> Self {
        let scope = state_file.display().to_string();
        let prefix = format!("credmount:{:016x}:", fnv1a(scope.as_bytes()));
        Self { keys: Keys::new(prefix), scope, clock, state: Mutex::default() }
    }

    /// Takes out what a daemon with this state file has left.
    pub(super) fn empty(state_file: &Path) {
        Self::of(state_file, Arc::new(SystemClock)).take_out(|_| true);
    }

    /// Whether anything is kept from now on; if not, nothing is left. Returns whether that is new.
    pub(super) fn set_open(&self, is_open: bool) -> bool {
        let was_open = std::mem::replace(&mut self.state.lock().is_open, is_open);
        if !is_open {
            self.take_out(|_| true);
            return false;
        }
        if !was_open {
            self.state.lock().note(self.keys.check().err());
        }
        !was_open
    }

    /// Takes out the logins of all identities but these, and the sessions of all devices but these.
    pub(super) fn retain(&self, identities: &[Arc<OidcIdentity>], sessions: &[&MfaSession]) {
        let logins = identities.iter().map(|identity| name_of_login(identity));
        let wanted: BTreeSet<String> =
            logins.chain(sessions.iter().map(|mfa| name_of_session(mfa))).collect();
        self.take_out(|name| !wanted.contains(name));
    }

    /// Takes out the sessions of all devices but these.
    pub(super) fn retain_sessions(&self, sessions: &[&MfaSession]) {
        let wanted: BTreeSet<String> = sessions.iter().map(|mfa| name_of_session(mfa)).collect();
        if !self.state.lock().is_open {
            return;
        }
        self.take_out(|name| name.starts_with(SESSION) && !wanted.contains(name));
    }

    /// The session that an earlier daemon has left, the first time that it is asked for.
    fn session(&self, mfa: &MfaSession) -> Option<StsSession> {
        {
            let mut state = self.state.lock();
            if !state.is_open || !state.looked_for.insert(mfa.clone()) {
                return None;
            }
        }
        let session = self.usable(&name_of_session(mfa), self.look_for(mfa)?)?;
        let device = mfa.device.as_str();
        tracing::info!(device, "the session with MFA of before this start goes on");
        Some(session)
    }

    /// Whether an earlier daemon has left a session that is good, so that no code is needed.
    pub(super) fn holds(&self, mfa: &MfaSession) -> bool {
        self.look_for(mfa).is_some_and(|session| session.is_ok())
    }

    fn look_for(&self, mfa: &MfaSession) -> Option<Result<StsSession, Unusable>> {
        let bytes = self.find(&name_of_session(mfa))?;
        let of = payload::of_session(&self.scope, mfa);
        Some(payload::read_session(&of, mfa, &bytes, self.now()))
    }

    /// Keeps a session that was received.
    pub(super) fn keep_session(&self, mfa: &MfaSession, session: &StsSession) {
        let (of, now) = (payload::of_session(&self.scope, mfa), self.now());
        let bytes = payload::session(&of, session, now, LARGEST);
        self.put(&name_of_session(mfa), bytes, session.remaining(now.wall));
    }

    /// For `status`; `None` while nothing is to be kept.
    pub(super) fn status(&self) -> Option<KeepStatus> {
        let state = self.state.lock();
        let trouble = state.trouble.map(|error| error.to_string());
        state.is_open.then(|| KeepStatus { place: "keyring".to_owned(), trouble })
    }

    fn now(&self) -> Now {
        let reading =
            self.clock.corrected().map_or_else(|| SystemClock.read(), CorrectedClock::read);
        Now { wall: self.clock.now(), boot: reading.boot }
    }

    fn put(&self, name: &str, bytes: Option<Bytes>, lifetime: Duration) {
        // Held until it is there: what is put and taken out at a time ends as it was said last.
        let mut state = self.state.lock();
        if !state.is_open {
            return;
        }
        let bytes = bytes.ok_or(KeyringError::NoRoom);
        state.known.insert(name.to_owned());
        let outcome = match bytes {
            Ok(bytes) => self.keys.put(name, &bytes, lifetime),
            Err(error) => self.keys.remove(name).and(Err(error)),
        };
        state.note(outcome.err());
    }

    fn find(&self, name: &str) -> Option<Bytes> {
        let found = self.keys.get(name).unwrap_or_else(|error| {
            tracing::debug!(name, %error, "what an earlier daemon has kept cannot be looked for");
            None
        });
        if found.is_some() {
            self.state.lock().known.insert(name.to_owned());
        }
        found
    }

    /// What can be used; what cannot is taken out.
    fn usable<T>(&self, name: &str, read: Result<T, Unusable>) -> Option<T> {
        read.inspect_err(|why| {
            tracing::warn!(name, %why, "what an earlier daemon has kept is not used");
            self.remove(name);
        })
        .ok()
    }

    fn remove(&self, name: &str) {
        let _state = self.state.lock();
        if let Err(error) = self.keys.remove(name) {
            // Most likely nothing could be kept in the first place.
            tracing::debug!(name, %error, "the keyring cannot be cleared");
        }
    }

    /// Takes out everything whose name `is_over`.
    fn take_out(&self, is_over: impl Fn(&str) -> bool) {
        let mut state = self.state.lock();
        let listed = self.keys.names().unwrap_or_else(|error| {
            tracing::debug!(%error, "it cannot be seen what is kept");
            Vec::new()
        });
        state.known.extend(listed);
        state.known.retain(|name| {
            if is_over(name)
                && let Err(error) = self.keys.remove(name)
            {
                tracing::warn!(name, %error, "it stays in the keyring until it ends");
            }
            !is_over(name)
        });
    }
}

impl KeepLogins for Safe {
    fn keep(&self, identity: &OidcIdentity, login: &KeptLogin) {
        let bytes = payload::login(&payload::of_login(&self.scope, identity), login, LARGEST);
        let lifetime = lifetime(login, self.clock.now());
        self.put(&name_of_login(identity), bytes, lifetime);
    }

    fn kept(&self, identity: &OidcIdentity) -> Option<KeptLogin> {
        if !self.state.lock().is_open {
            return None;
        }
        let name = name_of_login(identity);
        let bytes = self.find(&name)?;
        let of = payload::of_login(&self.scope, identity);
        self.usable(&name, payload::read_login(&of, &bytes))
    }

    fn forget(&self, identity: &OidcIdentity) {
        if self.state.lock().is_open {
            self.remove(&name_of_login(identity));
        }
    }
}

/// How long a login can be of use.
fn lifetime(login: &KeptLogin, now: SystemTime) -> Duration {
    let access = login.expiration.map(|at| at.duration_since(now).unwrap_or_default());
    match (access, &login.refresh) {
        (Some(access), None) => access,
        (access, _) => access.unwrap_or_default() + UNUSED,
    }
}

fn name_of_login(identity: &OidcIdentity) -> String {
    format!("login:{}", identity.name)
}

fn name_of_session(mfa: &MfaSession) -> String {
    format!("{SESSION}{}", mfa.device)
}

const SESSION: &str = "mfa:";

/// A login that no daemon has renewed for so long is forgotten.
pub(super) const UNUSED: Duration = Duration::from_hours(7 * 24);

#[cfg(test)]
mod tests;
