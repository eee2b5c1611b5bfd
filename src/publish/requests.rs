//! What those get who ask for one role at a time, and the token by which they do.

use std::sync::Arc;
use std::time::SystemTime;

use super::served::Section;
use super::{FAILURE_SHOWN, Publisher};
use crate::broker::{Cause, SessionError};
use crate::model::{ProfileName, RoleChain, Secret, ServedKey};
use crate::render::{self, ProfileState};
use crate::tree::{FileId, Snapshot};

impl Publisher {
    /// The file that holds the token of the endpoint, exactly as long as that: it never changes.
    pub fn endpoint_token(&self, token: Option<&Secret>) -> Arc<Snapshot> {
        let text = token.map(render::endpoint_token).unwrap_or_default();
        self.tree.grow(FileId::EndpointToken, text.len());
        self.tree.grown(FileId::EndpointToken);
        Arc::new(Snapshot::new(text, Vec::new()))
    }

    /// What readers see under this name, and the chain behind it; by the number of the name.
    pub fn named(&self, profile: &str) -> Option<(usize, &ProfileName, &Arc<RoleChain>)> {
        let at = self.sections.iter().position(|section| section.name.as_str() == profile)?;
        let Section { name, role } = &self.sections[at];
        Some((at, name, &self.served.roles[*role].chain))
    }

    /// What can be said at once of the name of this number; where nothing can be said yet, `None`, or
    /// what is held, or a failure of this cause.
    pub fn state_of(&self, section: usize, decided: Option<Cause>) -> Option<ProfileState> {
        let chain = &self.served.roles[self.sections[section].role].chain;
        self.role_state(chain, decided, self.clock.now()).map(|(state, _)| state)
    }

    /// What is rendered of a role, as [`Publisher::state`] has it.
    pub(super) fn role_state(
        &self,
        chain: &Arc<RoleChain>,
        decided: Option<Cause>,
        now: SystemTime,
    ) -> Option<(ProfileState, SystemTime)> {
        if self.served.roleless && self.refusal().is_none() {
            let error = SessionError::new("", Cause::NoRole, "");
            return Some((ProfileState::Failing(error), now + FAILURE_SHOWN));
        }
        self.state(&self.broker, chain, decided, now)
    }
}

/// The key that a profile in this state shows.
pub fn key_of(profile: &ProfileName, state: &ProfileState) -> Option<ServedKey> {
    let ProfileState::Live(session) = state else { return None };
    Some(ServedKey {
        name: profile.to_string(),
        access_key_id: session.access_key_id.clone(),
        expiration: session.expiration,
    })
}
