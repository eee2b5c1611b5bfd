//! What the broker needs from AWS. Owned by the core, implemented by `sts/`.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use super::{Cause, SessionError};
use crate::model::{
    BaseCredentials, MfaCode, MfaSession, RoleHop, StsSession, Token, TokenGrant, TokenSource,
};

/// A boxed future, so that the port can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where MFA codes come from: a program, or a person.
pub trait MfaCodes: Debug + Send + Sync + 'static {
    /// A code of the device of `session` that was not given out before. It ends by itself within a
    /// bounded time.
    ///
    /// # Errors
    /// `MfaCodeNeeded` if there is none, `MfaProcessFailed` if the program gave none.
    fn code<'a>(&'a self, session: &'a MfaSession) -> BoxFuture<'a, Result<MfaCode, SessionError>>;

    /// Takes back a code that AWS has not judged, for the next who asks.
    fn unused(&self, session: &MfaSession, code: MfaCode);
}

/// Nobody has a code.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMfaCodes;

impl MfaCodes for NoMfaCodes {
    fn code<'a>(&'a self, session: &'a MfaSession) -> BoxFuture<'a, Result<MfaCode, SessionError>> {
        Box::pin(async { Err(SessionError::new(session.subject(), Cause::MfaCodeNeeded, "")) })
    }

    fn unused(&self, _: &MfaSession, _: MfaCode) {}
}

/// A source of sessions. Every call goes to the source: caching is the broker's work. Every call
/// ends by itself within a bounded time.
pub trait SessionSource: Debug + Send + Sync + 'static {
    /// Resolves base credentials. Keys without an expiration get one a session duration ahead. Those
    /// with MFA are a session of their own, for which a code is asked of [`MfaCodes`]. A web identity
    /// token is none: it is for [`SessionSource::assume_role_with_web_identity`].
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>>;

    /// Ends when another attempt at `base`, after one that failed with [`LoginNeeded`], may go
    /// otherwise: when somebody has signed in. Asks nobody but this machine.
    ///
    /// [`LoginNeeded`]: super::Cause::LoginNeeded
    fn signed_in<'a>(&'a self, base: &'a BaseCredentials) -> BoxFuture<'a, ()> {
        let _ = base;
        Box::pin(std::future::pending())
    }

    /// Sees to it that the time of AWS is known, as far as it can be, before `session` is judged by
    /// it: base credentials that are served as they are, for which perhaps no call was signed.
    fn know_the_time<'a>(&'a self, session: &'a StsSession) -> BoxFuture<'a, ()> {
        let _ = session;
        Box::pin(std::future::ready(()))
    }

    /// Calls AssumeRole once, signed by `with`: one request, without further attempts.
    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>>;

    /// Asks `token` for a token and calls AssumeRoleWithWebIdentity with it once: one unsigned
    /// request, for which no keys are looked for anywhere. A source that knows no tokens, as most
    /// in tests, fails.
    fn assume_role_with_web_identity<'a>(
        &'a self,
        hop: &'a RoleHop,
        _token: &'a TokenSource,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        let error =
            SessionError::new(hop.role_arn.as_str(), Cause::Misconfigured, "no tokens here");
        Box::pin(std::future::ready(Err(error)))
    }
}

/// A source of tokens of services other than AWS. Every call goes to the service, as one request
/// for the token, and ends by itself within a bounded time.
pub trait TokenGiver: Debug + Send + Sync + 'static {
    /// Asks for the token.
    ///
    /// # Errors
    /// `LoginNeeded` if nobody is logged in; whatever else keeps it from being had.
    fn token<'a>(&'a self, grant: &'a TokenGrant) -> BoxFuture<'a, Result<Token, SessionError>>;

    /// Ends when somebody is logged in who may have the token. Asks nobody but this process.
    fn signed_in<'a>(&'a self, grant: &'a TokenGrant) -> BoxFuture<'a, ()>;
}

/// Where there are no tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTokens;

impl TokenGiver for NoTokens {
    fn token<'a>(&'a self, grant: &'a TokenGrant) -> BoxFuture<'a, Result<Token, SessionError>> {
        Box::pin(async { Err(SessionError::new(grant.name(), Cause::TokenDenied, "")) })
    }

    fn signed_in<'a>(&'a self, _grant: &'a TokenGrant) -> BoxFuture<'a, ()> {
        Box::pin(std::future::pending())
    }
}
