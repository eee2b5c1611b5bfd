//! The calls that give a role session, each one request and told to the observer. Must not know how
//! a client is made, nor when a call is made once more.

use std::time::SystemTime;

use tokio::time::Instant;

use super::assume::{self, Said};
use super::classify::sts_error;
use super::client::StsClient;
use super::detail::Signer;
use super::session_name::{self, session_name};
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
        let (outcome, said) = match request.send().await {
            Ok(answer) => {
                let (keys, user) = (answer.credentials(), answer.assumed_role_user());
                let session = assume::session_of(begun.subject, keys, user, self.clock.now());
                #[expect(deprecated, reason = "older partitions tell only this one")]
                let policies = answer.packed_policy_size();
                let percent = assume::packed_percent(policies, answer.session_token_utilization());
                (session, Said::with(&answer, percent))
            }
            Err(error) => {
                let call = self.call(begun.subject, &hop.sts_region, Signer::Session(with));
                (Err(sts_error(call, &error)), Said::by(&error))
            }
        };
        self.tell(hop, begun, &outcome, said).await;
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
        let (outcome, said) = match request.send().await {
            Ok(answer) => {
                let (keys, user) = (answer.credentials(), answer.assumed_role_user());
                let session = assume::session_of(begun.subject, keys, user, self.clock.now());
                #[expect(deprecated, reason = "older partitions tell only this one")]
                let policies = answer.packed_policy_size();
                let percent = assume::packed_percent(policies, answer.session_token_utilization());
                (session, Said::with(&answer, percent))
            }
            Err(error) => {
                let call = self.call(begun.subject, &hop.sts_region, Signer::Token(&token));
                (Err(token::cause_of(sts_error(call, &error))), Said::by(&error))
            }
        };
        self.tell(hop, begun, &outcome, said).await;
        outcome
    }

    fn begin<'a>(&self, hop: &'a RoleHop) -> Begun<'a> {
        let (user, host) = (&self.options.user, &self.options.host);
        let stamp = self.stamps.next(self.clock.now());
        let session_name = match &hop.session_name {
            Some(pattern) => session_name::filled_in(pattern, user, host, stamp),
            None => session_name(user, host, stamp),
        };
        let (started, clock) = (self.clock.now(), Instant::now());
        Begun { subject: hop.role_arn.as_str(), session_name, started, clock }
    }

    /// Tells the observer of a call that has ended.
    async fn tell(
        &self,
        hop: &RoleHop,
        begun: Begun<'_>,
        outcome: &Result<StsSession, SessionError>,
        said: Said,
    ) {
        let call = AssumeRoleCall {
            role_arn: begun.subject.to_owned(),
            session_name: begun.session_name,
            source_identity: hop.attributes.source_identity.clone(),
            started: begun.started,
            latency: begun.clock.elapsed(),
            outcome: assume::told(outcome, said),
        };
        self.options.observer.assume_role(&call).await;
        if let Some(skew) = self.clock.corrected().and_then(CorrectedClock::skew) {
            self.options.observer.clock_skew(skew.seconds());
        }
    }
}
