//! The calls that give a role session, each one request and told to the observer, and how any call
//! is told. Must not know how a client is made, nor when a call is made once more.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::assume::{self, CallOutcome, Said};
use super::classify::sts_error;
use super::client::StsClient;
use super::detail::Signer;
use super::session_name::{self, session_name};
use super::token;
use crate::broker::{CallKind, SessionCall, SessionError};
use crate::clock::CorrectedClock;
use crate::model::{RoleHop, StsSession, TokenSource};

/// A call that is about to be made.
pub(super) struct Begun {
    kind: CallKind,
    started: SystemTime,
    clock: Instant,
    latency: Option<Duration>,
}

impl Begun {
    pub(super) fn at(started: SystemTime, kind: CallKind) -> Self {
        Self { kind, started, clock: Instant::now(), latency: None }
    }

    /// The answer has come: what follows is no part of the call.
    fn stop(&mut self) {
        self.latency = Some(self.clock.elapsed());
    }

    /// The call for `subject`, now that it has ended.
    pub(super) fn ended(self, subject: &str, outcome: CallOutcome) -> SessionCall {
        SessionCall {
            kind: self.kind,
            subject: subject.to_owned(),
            session_name: None,
            source_identity: None,
            started: self.started,
            latency: self.latency.unwrap_or_else(|| self.clock.elapsed()),
            outcome,
        }
    }
}

/// One of the two ways to assume the role of a hop.
struct Assuming<'a> {
    begun: Begun,
    subject: &'a str,
    session_name: String,
}

impl StsClient {
    pub(super) async fn assume(
        &self,
        hop: &RoleHop,
        with: &StsSession,
    ) -> Result<StsSession, SessionError> {
        let begun = self.begin(hop, CallKind::AssumeRole);
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
        self.tell_assuming(hop, begun, &outcome, said).await;
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
        let mut begun = self.begin(hop, CallKind::AssumeRoleWithWebIdentity);
        let request = self.sts(&hop.sts_region, None).assume_role_with_web_identity();
        let request = assume::filled_in_with_token(request, hop, &begun.session_name, &token);
        let (outcome, said) = match request.send().await {
            Ok(answer) => {
                begun.begun.stop();
                let (keys, user) = (answer.credentials(), answer.assumed_role_user());
                let session = |now| assume::session_of(begun.subject, keys, user, now);
                // The call was not signed, so its answer told no time to judge the session by.
                if let Ok(session) = session(SystemTime::UNIX_EPOCH) {
                    self.know_the_time_in(&hop.sts_region, &session).await;
                }
                let session = session(self.clock.now());
                #[expect(deprecated, reason = "older partitions tell only this one")]
                let policies = answer.packed_policy_size();
                let percent = assume::packed_percent(policies, answer.session_token_utilization());
                (session, Said::with(&answer, percent))
            }
            Err(error) => {
                let call = self.call(begun.subject, &hop.sts_region, Signer::Token(&token));
                let said = Said::by(&error).without(token.expose());
                (Err(token::cause_of(sts_error(call, &error))), said)
            }
        };
        self.tell_assuming(hop, begun, &outcome, said).await;
        outcome
    }

    fn begin<'a>(&self, hop: &'a RoleHop, kind: CallKind) -> Assuming<'a> {
        let (user, host) = (&self.options.user, &self.options.host);
        let stamp = self.stamps.next(self.clock.now());
        let session_name = match &hop.session_name {
            Some(pattern) => session_name::filled_in(pattern, user, host, stamp),
            None => session_name(user, host, stamp),
        };
        let begun = Begun::at(self.clock.now(), kind);
        Assuming { begun, subject: hop.role_arn.as_str(), session_name }
    }

    async fn tell_assuming(
        &self,
        hop: &RoleHop,
        assuming: Assuming<'_>,
        outcome: &Result<StsSession, SessionError>,
        said: Said,
    ) {
        let Assuming { begun, subject, session_name } = assuming;
        let mut call = begun.ended(subject, assume::told(key_of(outcome), said));
        call.session_name = Some(session_name);
        call.source_identity.clone_from(&hop.attributes.source_identity);
        self.tell(&call).await;
    }

    /// Tells the observer of a call that has ended, and of the time that STS has told.
    pub(super) async fn tell(&self, call: &SessionCall) {
        self.options.observer.called(call).await;
        self.tell_skew();
    }

    /// Tells the observer how wrong the clock of the machine is, if that is known.
    pub(super) fn tell_skew(&self) {
        if let Some(skew) = self.clock.corrected().and_then(CorrectedClock::skew) {
            self.options.observer.clock_skew(skew.seconds());
        }
    }
}

/// What can be told of a session.
pub(super) fn key_of(
    outcome: &Result<StsSession, SessionError>,
) -> Result<(&str, SystemTime), &SessionError> {
    outcome.as_ref().map(|session| (session.access_key_id.as_str(), session.expiration))
}
