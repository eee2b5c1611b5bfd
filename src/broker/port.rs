//! What the broker needs from AWS. Owned by the core, implemented by `sts/`.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

#[cfg(doc)]
use super::Cause;
use super::SessionError;
use crate::model::{BaseCredentials, RoleHop, StsSession};

/// A boxed future, so that the port can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A source of sessions. Every call goes to the source: caching is the broker's work. Every call
/// ends by itself within a bounded time.
pub trait SessionSource: Debug + Send + Sync + 'static {
    /// Resolves base credentials. Keys without an expiration get one a session duration ahead.
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>>;

    /// Ends when another attempt at `base`, after one that failed with [`Cause::LoginNeeded`], may go
    /// otherwise: when somebody has signed in. Asks nobody but this machine.
    fn signed_in<'a>(&'a self, base: &'a BaseCredentials) -> BoxFuture<'a, ()> {
        let _ = base;
        Box::pin(std::future::pending())
    }

    /// Calls AssumeRole once, signed by `with`: one request, without further attempts.
    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>>;
}
