//! An MFA code that somebody gives over the control socket: to the session that needs it, and on to
//! the roles behind the device.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;

use super::control::{Control, Roster};
use crate::app::mfa::USED;
use crate::broker::{Cause, SessionError};
use crate::model::{MfaCode, MfaDevice, Perishable as _, Role, RoleChain};
use crate::render::instant;

/// The roles behind one device.
#[derive(Debug)]
struct Behind {
    roles: Vec<Role>,
    /// The chain of the session with MFA.
    session: Arc<RoleChain>,
}

impl Control {
    /// Uses `code` for the roles behind `device`; returns what came of it, a line for each outcome.
    ///
    /// # Errors
    /// If the code is not accepted, or a role cannot be had although it is.
    pub(super) async fn give_code(&self, device: &str, code: MfaCode) -> Result<String> {
        ensure!(!self.roster.is_locked(), "credmount is locked; first: credmount unlock");
        let device = MfaDevice::parse(device)?;
        let behind = self.behind(&device)?;
        ensure!(self.codes.give(&device, code), "AWS would not accept the MFA code: {USED}");
        let outcome = self.session_with_code(&behind.session, &device).await;
        self.codes.forget(&device);
        outcome.map_err(|error| anyhow::anyhow!("{error}\n{}", error.cause.advice()))?;
        self.fetch(&behind).await
    }

    /// Asks once more for the sessions with MFA behind these chains that fail, since a flight of a role
    /// does so only when it is time: a program may be able to give a code now. What comes of it, the
    /// roles tell.
    pub(super) async fn renew_mfa(&self, chains: &[Arc<RoleChain>]) {
        let behind = chains.iter().filter(|chain| !chain.hops.is_empty());
        let sessions: HashSet<RoleChain> = behind.filter_map(|chain| chain.mfa_chain()).collect();
        let mut flights = JoinSet::new();
        for session in sessions.into_iter().map(Arc::new) {
            if self.broker.status(&session).failure.is_some() {
                let broker = self.broker.clone();
                flights.spawn(async move { broker.refresh(&session).await });
            }
        }
        flights.join_all().await;
    }

    /// The roles whose session with MFA of `device` needs a code most.
    fn behind(&self, device: &MfaDevice) -> Result<Behind> {
        let mut roles: Vec<Role> = Vec::new();
        for service in self.roster.services() {
            let served = service.publisher().served();
            let fits = |role: &&Role| role.chain.mfa().is_some_and(|mfa| mfa.device == *device);
            roles.extend(served.roles.iter().filter(fits).cloned());
        }
        let mut sessions: Vec<Arc<RoleChain>> =
            roles.iter().filter_map(|role| role.chain.mfa_chain()).map(Arc::new).collect();
        sessions.sort_by_key(|chain| {
            let status = self.broker.status(chain);
            (status.failure.is_none(), status.session.is_some())
        });
        let session = sessions.into_iter().next();
        let session = session.with_context(|| format!("no role is behind the device {device}"))?;
        roles.retain(|role| role.chain.base == session.base);
        Ok(Behind { roles, session })
    }

    /// Fetches the session with MFA. A flight that was under way before the code was there may end
    /// without it; then another takes it.
    async fn session_with_code(
        &self,
        session: &Arc<RoleChain>,
        device: &MfaDevice,
    ) -> Result<(), SessionError> {
        loop {
            match self.broker.refresh(session).await {
                Err(error) if error.cause == Cause::MfaCodeNeeded && self.codes.holds(device) => {}
                outcome => return outcome,
            }
        }
    }

    /// Fetches the sessions that were missing, and says until when there are which.
    async fn fetch(&self, behind: &Behind) -> Result<String> {
        let now = self.clock.now();
        let mut seen = HashSet::new();
        let mut flights = JoinSet::new();
        for role in behind.roles.iter().filter(|role| seen.insert(role.chain.clone())) {
            let status = self.broker.status(&role.chain);
            let is_well = status.failure.is_none()
                && status.session.is_some_and(|session| session.is_valid(now));
            if !is_well {
                let (broker, role) = (self.broker.clone(), role.clone());
                flights.spawn(async move {
                    let outcome = broker.refresh(&role.chain).await;
                    outcome.map_err(|error| format!("{}: {error}", role.profile))
                });
            }
        }
        let mut failures: Vec<String> =
            flights.join_all().await.into_iter().filter_map(Result::err).collect();
        for service in self.roster.services() {
            service.publisher().publish(&[]).await;
        }
        let ends = behind.roles.iter().filter_map(|role| {
            let session = self.broker.status(&role.chain).session?;
            session.is_valid(now).then(|| (session.expiration, role.profile.as_str()))
        });
        let mut told = ends_told(ends.collect());
        let carries = self.broker.status(&behind.session).session;
        let carries = carries.map(|session| instant(session.expiration)).unwrap_or_default();
        told.push(format!("the next code is needed by {carries}"));
        if failures.is_empty() {
            return Ok(told.join("\n"));
        }
        failures.sort();
        failures.extend(told);
        bail!(failures.join("\n"))
    }
}

/// A line for each end of sessions, as in `prod, staging: session until 2026-11-22T03:00:00Z`. Ends
/// within a minute are told as the first of them.
fn ends_told(mut ends: Vec<(SystemTime, &str)>) -> Vec<String> {
    ends.sort();
    let mut groups: Vec<(SystemTime, Vec<&str>)> = Vec::new();
    for (end, profile) in ends {
        match groups.last_mut() {
            Some((first, profiles)) if end < *first + Duration::from_mins(1) => {
                // Mounts may serve a role under the same name.
                if !profiles.contains(&profile) {
                    profiles.push(profile);
                }
            }
            _ => groups.push((end, vec![profile])),
        }
    }
    let told = |(end, mut profiles): (SystemTime, Vec<&str>)| {
        profiles.sort_unstable();
        format!("{}: session until {}", profiles.join(", "), instant(end))
    };
    groups.into_iter().map(told).collect()
}

impl Roster {
    /// The devices that need a code now, each with the command that gives it.
    pub(super) fn mfa_needed(&self) -> BTreeMap<String, String> {
        let mut needed = BTreeMap::new();
        for service in self.services() {
            for mfa in service.status().roles.into_iter().filter_map(|role| role.mfa) {
                if let Some(command) = mfa.command {
                    needed.entry(mfa.device).or_insert(command);
                }
            }
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_end_together_are_told_in_one_line() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let ends = vec![(at(59), "b"), (at(0), "c"), (at(60), "a"), (at(60), "a"), (at(1), "b")];
        assert_eq!(
            ends_told(ends),
            ["b, c: session until 1970-01-01T00:00:00Z", "a: session until 1970-01-01T00:01:00Z"]
        );
    }
}
