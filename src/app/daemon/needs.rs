//! What mounts need to be had for them: sessions and tokens.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Shared;
use crate::app::plan::Plan;
use crate::broker::schedule::Jitter;
use crate::broker::{Broker, Keeper, SessionSource, Sought};
use crate::clock::Clock;
use crate::config::Settings;
use crate::identity::Logins;
use crate::model::{MfaSession, OidcIdentity, RoleChain, TokenGrant};

/// The role chains and tokens of some mounts, each as often as it stands there.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    pub(super) chains: Vec<Arc<RoleChain>>,
    pub(super) grants: Vec<Arc<TokenGrant>>,
}

impl Needs {
    /// What these mounts need.
    pub(super) fn of<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Self {
        let mut needs = Self::default();
        for plan in plans {
            needs.chains.extend(plan.served.chains());
            needs.grants.extend(plan.served.grants().iter().cloned());
        }
        needs
    }

    /// Both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.chains.extend(other.chains.clone());
        self.grants.extend(other.grants.clone());
        self
    }

    /// What of it is not in `held`.
    pub(super) fn beyond(self, held: &Self) -> Self {
        Self {
            chains: without(self.chains, &held.chains),
            grants: without(self.grants, &held.grants),
        }
    }

    /// Fetches all at once. What fails for now is kept; the mount shows its failure.
    pub(super) async fn fetch(&self, shared: &Shared, deadline: Duration) {
        let roles = fetch(&shared.broker, &self.chains, deadline);
        tokio::join!(roles, fetch(&shared.tokens, &self.grants, deadline));
    }
}

fn without<K: Hash + Eq>(new: Vec<Arc<K>>, held: &[Arc<K>]) -> Vec<Arc<K>> {
    let held: HashSet<&Arc<K>> = held.iter().collect();
    new.into_iter().filter(|it| !held.contains(it)).collect()
}

async fn fetch<K: Sought>(broker: &Arc<Broker<K>>, all: &[Arc<K>], deadline: Duration) {
    let mut waits = JoinSet::new();
    for sought in all {
        let (broker, sought) = (broker.clone(), sought.clone());
        waits.spawn(async move { broker.settled(&sought, deadline).await });
    }
    waits.join_all().await;
}

/// Keeps what is needed fresh.
#[derive(Debug)]
pub(super) struct Keepers {
    roles: Keeper,
    tokens: Keeper<TokenGrant>,
}

impl Keepers {
    /// Those of nothing yet.
    pub(super) fn of(shared: &Shared) -> Self {
        let (roles, tokens) = (shared.broker.clone(), shared.tokens.clone());
        Self { roles: Keeper::new(roles), tokens: Keeper::new(tokens) }
    }

    /// Keeps exactly this from now on.
    pub(super) fn keep(&mut self, needs: Needs) {
        self.roles.keep(needs.chains);
        self.tokens.keep(needs.grants);
    }
}

/// What asks for sessions and tokens.
pub(super) fn brokers(
    settings: &Settings,
    source: impl SessionSource,
    clock: &Arc<dyn Clock>,
    logins: &Arc<Logins>,
) -> (Arc<Broker>, Arc<Broker<TokenGrant>>) {
    let jitter = || Jitter::new(fastrand::f64());
    let (min_ttl, logins) = (settings.min_ttl, logins.clone());
    let broker = Broker::new(Arc::new(source), clock.clone(), min_ttl, jitter);
    broker.limit_calls(settings.sts_calls_per_second);
    (broker, Broker::<TokenGrant>::asking(logins, clock.clone(), min_ttl, jitter))
}

/// The identities of all roles and tokens of these settings.
pub(super) fn identities_of(settings: &Settings) -> Vec<Arc<OidcIdentity>> {
    let tokens = settings.mounts.iter().flat_map(|mount| &mount.tokens);
    let roles = settings.roles().filter_map(|role| role.chain.identity());
    roles.chain(tokens.map(|grant| grant.identity())).cloned().collect()
}

/// The sessions with MFA of all roles of these settings.
pub(super) fn mfa_of(settings: &Settings) -> Vec<&MfaSession> {
    settings.roles().filter_map(|role| role.chain.mfa()).collect()
}
