//! What a broker can keep fresh. Must not know how it is rendered.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use super::cache::{Broker, Entry};
use super::flight::Work;
use super::schedule::Renewal;
use super::{BoxFuture, SessionError, SessionSource, TokenGiver};
use crate::model::{Perishable, RoleChain, StsSession, Token, TokenGrant};

/// Something that can be asked for again and again, and that perishes. Two that are equal share
/// what was given for one.
pub trait Sought: Eq + Hash + Debug + Send + Sync + Sized + 'static {
    /// What is given.
    type Grant: Perishable;

    /// Who gives it.
    type Source: ?Sized + Debug + Send + Sync + 'static;

    /// What it is called in errors and logs.
    fn subject(&self) -> String;

    /// What has to be had first, and is kept for it.
    fn parent(&self) -> Option<Self>;

    /// Who renews it.
    fn renewal(&self) -> Renewal {
        Renewal::Unattended
    }

    /// Whether somebody gives a code for something else that it needs.
    fn is_behind_code(&self) -> bool {
        false
    }

    /// Ends when another attempt, after one that failed with [`Cause::LoginNeeded`](super::Cause), may
    /// go otherwise.
    fn signed_in<'a>(&'a self, source: &'a Self::Source) -> BoxFuture<'a, ()>;

    /// Asks for it, with as many attempts as a flight makes ([`Flight::attempts`]).
    fn load(flight: Flight<Self>) -> BoxFuture<'static, Result<Self::Grant, SessionError>>;
}

/// One flight: what is sought, and the broker that asks.
pub struct Flight<K: Sought> {
    pub(super) broker: Arc<Broker<K>>,
    pub(super) entry: Arc<Entry<K>>,
}

impl<K: Sought> Flight<K> {
    /// Makes `call` to the source that is configured, once or several times as the flight allows.
    ///
    /// # Errors
    /// That of the last call.
    pub async fn attempts<C>(&self, call: C) -> Result<K::Grant, SessionError>
    where
        C: for<'a> Fn(&'a K::Source, &'a K) -> BoxFuture<'a, Result<K::Grant, SessionError>>,
    {
        let source = self.broker.configured.read().source.clone();
        let call = || call(&source, &self.entry.chain);
        self.broker.attempts(&self.entry, Work::of_flight(), call).await
    }
}

impl<K: Sought> Debug for Flight<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flight").field(&self.entry.chain).finish()
    }
}

impl Sought for RoleChain {
    type Grant = StsSession;
    type Source = dyn SessionSource;

    fn subject(&self) -> String {
        match (self.role_arn(), self.mfa()) {
            (Some(arn), _) => arn.to_string(),
            (None, Some(session)) => session.subject(),
            (None, None) => format!("base credentials ({})", self.base),
        }
    }

    fn renewal(&self) -> Renewal {
        if self.needs_person() { Renewal::ByPerson } else { Renewal::Unattended }
    }

    fn is_behind_code(&self) -> bool {
        self.mfa().is_some() && !self.hops.is_empty()
    }

    fn parent(&self) -> Option<Self> {
        Self::parent(self)
    }

    fn signed_in<'a>(&'a self, source: &'a Self::Source) -> BoxFuture<'a, ()> {
        source.signed_in(&self.base)
    }

    fn load(flight: Flight<Self>) -> BoxFuture<'static, Result<StsSession, SessionError>> {
        Box::pin(async move { flight.broker.load(&flight.entry).await })
    }
}

impl Sought for TokenGrant {
    type Grant = Token;
    type Source = dyn TokenGiver;

    fn subject(&self) -> String {
        self.name()
    }

    fn parent(&self) -> Option<Self> {
        None
    }

    fn signed_in<'a>(&'a self, source: &'a Self::Source) -> BoxFuture<'a, ()> {
        source.signed_in(self)
    }

    fn load(flight: Flight<Self>) -> BoxFuture<'static, Result<Token, SessionError>> {
        Box::pin(async move { flight.attempts(|giver, grant| giver.token(grant)).await })
    }
}
