//! The calls that give a role session, each one request and told to the observer. Must not know how
//! a client is made, nor when a call is made once more.

use std::time::SystemTime;

use tokio::time::Instant;

use super::assume;
use super::classify::{self, sts_error};
use super::client::StsClient;
use super::detail::Signer;
use super::session_name::session_name;
use super::token;
use crate::broker::{AssumeRoleCall, SessionError};
use crate::clock::CorrectedClock;
use crate::model::{RoleHop, StsSession, TokenSource};

/// A call that is about to be made.
struct Begun<'a> {
    subject: &'a str,
    session_name: String,
    started: SystemTime,
    clock: Instant,
}

impl StsClient {
    pub(super) async fn assume(
        &self,
        hop: &RoleHop,
        with: &StsSession,
    ) -> Result<StsSession, SessionError> {
        let begun = self.begin(hop);
        let client = self.sts(&hop.sts_region, Some(with));
        let request = assume::filled_in(client.assume_role(), hop, &begun.session_name);
        let (outcome, code, request_id) = match request.send().await {
            Ok(answer) => {
                let (keys, user) = (answer.credentials(), answer.assumed_role_user());
                let session = assume::session_of(begun.subject, keys, user, self.clock.now());
                (session, None, assume::request_id(&answer))
            }
            Err(error) => {
                let call = self.call(begun.subject, &hop.sts_region, Signer::Session(with));
                let (code, id) = (classify::code(&error), classify::request_id(&error));
                (Err(sts_error(call, &error)), code, id)
            }
        };
        self.tell(hop, begun, &outcome, code, request_id).await;
        outcome
    }

    pub(super) async fn assume_with_token(
        &self,
        hop: &RoleHop,
        source: &TokenSource,
    ) -> Result<StsSession, SessionError> {
        let logins = self.options.logins.as_deref();
        let token = token::read(source, self.options.base_timeout, logins).await;
        let token = token.map_err(|error| error.about(&hop.role_arn))?;
        let begun = self.begin(hop);
        let request = self.sts(&hop.sts_region, None).assume_role_with_web_identity();
        let request = assume::filled_in_with_token(request, hop, &begun.session_name, &token);
        let (outcome, code, request_id) = match request.send().await {
            Ok(answer) => {
                let (keys, user) = (answer.credentials(), answer.assumed_role_user());
                let session = assume::session_of(begun.subject, keys, user, self.clock.now());
                (session, None, assume::request_id(&answer))
            }
            Err(error) => {
                let call = self.call(begun.subject, &hop.sts_region, Signer::Token(&token));
                let (code, id) = (classify::code(&error), classify::request_id(&error));
                (Err(token::cause_of(sts_error(call, &error))), code, id)
            }
        };
        self.tell(hop, begun, &outcome, code, request_id).await;
        outcome
    }

    fn begin<'a>(&self, hop: &'a RoleHop) -> Begun<'a> {
        let session_name = hop.session_name.as_ref().map_or_else(
            || {
                let now = self.stamps.next(self.clock.now());
                session_name(&self.options.user, &self.options.host, now)
            },
            |name| name.as_str().to_owned(),
        );
        let (started, clock) = (self.clock.now(), Instant::now());
        Begun { subject: hop.role_arn.as_str(), session_name, started, clock }
    }

    /// Tells the observer of a call that has ended.
    async fn tell(
        &self,
        hop: &RoleHop,
        begun: Begun<'_>,
        outcome: &Result<StsSession, SessionError>,
        code: Option<String>,
        request_id: Option<String>,
    ) {
        let call = AssumeRoleCall {
            role_arn: begun.subject.to_owned(),
            session_name: begun.session_name,
            source_identity: hop.attributes.source_identity.clone(),
            started: begun.started,
            latency: begun.clock.elapsed(),
            outcome: assume::told(outcome, code, request_id),
        };
        self.options.observer.assume_role(&call).await;
        if let Some(skew) = self.clock.corrected().and_then(CorrectedClock::skew) {
            self.options.observer.clock_skew(skew.seconds());
        }
    }
}
