//! A source of sessions that goes on with the sessions with MFA of an earlier daemon, and has its own
//! kept. Must not know how.

use std::sync::Arc;

use super::Safe;
use crate::broker::{BoxFuture, SessionError, SessionSource};
use crate::model::{BaseCredentials, RoleHop, StsSession, TokenSource};

/// `source` with a safe.
#[derive(Debug)]
pub(in crate::app) struct KeptSessions<S> {
    source: S,
    safe: Arc<Safe>,
}

impl<S> KeptSessions<S> {
    pub(in crate::app) fn new(source: S, safe: Arc<Safe>) -> Self {
        Self { source, safe }
    }
}

impl<S: SessionSource> SessionSource for KeptSessions<S> {
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        let BaseCredentials::Mfa(mfa) = base else { return self.source.base(base) };
        Box::pin(async move {
            if let Some(session) = self.safe.session(mfa) {
                return Ok(session);
            }
            let session = self.source.base(base).await?;
            self.safe.keep_session(mfa, &session);
            Ok(session)
        })
    }

    fn signed_in<'a>(&'a self, base: &'a BaseCredentials) -> BoxFuture<'a, ()> {
        self.source.signed_in(base)
    }

    fn know_the_time<'a>(&'a self, session: &'a StsSession) -> BoxFuture<'a, ()> {
        self.source.know_the_time(session)
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        self.source.assume_role(hop, with)
    }

    fn assume_role_with_web_identity<'a>(
        &'a self,
        hop: &'a RoleHop,
        token: &'a TokenSource,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        self.source.assume_role_with_web_identity(hop, token)
    }
}
