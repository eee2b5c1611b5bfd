//! Logins as what gives tokens of services other than AWS. Must not know how they are kept.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{GivenCertificate, GivenToken, IssuerError, Logins, TokenError};
use crate::broker::{
    BoxFuture, CallKind, Cause, FailedCall, GivenKey, SessionCall, SessionError, TokenGiver,
};
use crate::model::{Secret, SshCertificate, SshGrant, Token, TokenContent, TokenGrant};

/// The longest lifetime that is believed: a token is asked for again at least so often.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);

/// The lifetime of a web identity token that does not tell its end.
const UNTOLD_LIFETIME: Duration = Duration::from_mins(5);

/// How far the clock of who signs certificates may be ahead of ours.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// What an issuer gave, and how long it is good.
struct Given {
    content: TokenContent,
    id: String,
    ends: Option<SystemTime>,
    lifetime: Option<Duration>,
}

impl TokenGiver for Logins {
    fn token<'a>(&'a self, grant: &'a TokenGrant) -> BoxFuture<'a, Result<Token, SessionError>> {
        Box::pin(async move {
            let (_, clock, observer) = self.parts();
            // Without a login nobody is asked, and there is no call to tell of.
            let is_asked = self.holds(grant.identity());
            let (started, timer) = (clock.now(), Instant::now());
            let outcome = self.given(grant).await;
            if is_asked {
                observer.called(&told(grant, started, timer.elapsed(), &outcome)).await;
            }
            outcome
        })
    }

    fn signed_in<'a>(&'a self, grant: &'a TokenGrant) -> BoxFuture<'a, ()> {
        Box::pin(self.logged_in(grant.identity()))
    }
}

impl Logins {
    async fn given(&self, grant: &TokenGrant) -> Result<Token, SessionError> {
        let (issuer, clock, _) = self.parts();
        let given = match grant {
            TokenGrant::Github(github) => {
                let call = |access| async move { issuer.github_token(github, &access).await };
                let given = self.with_access(&github.identity, call).await;
                given.map(|it| it.map(|it| self.text(it)))
            }
            TokenGrant::Ssh(ssh) => self.certified(ssh).await,
            TokenGrant::WebIdentity(identity) => self.id_token_for_aws(identity).await.map(|it| {
                let lifetime = it.expiration.is_none().then_some(UNTOLD_LIFETIME);
                let (token, ends) = (it.token, it.expiration);
                Ok(self.text(GivenToken { token, ends, lifetime }))
            }),
        };
        let given = given.map_err(|error| of_login(grant, &error))?;
        let given = given.map_err(|error| of_issuer(grant, &error))?;
        let now = clock.now();
        let expiration = expiration(given.ends, given.lifetime, now);
        Ok(Token { content: given.content, id: given.id, issued: now, expiration })
    }

    /// A token that is a text.
    fn text(&self, given: GivenToken) -> Given {
        let id = self.parts().0.hash(&given.token);
        let content = TokenContent::Text(given.token);
        Given { content, id, ends: given.ends, lifetime: given.lifetime }
    }

    /// A key pair with a certificate.
    async fn certified(&self, grant: &SshGrant) -> Result<Result<Given, IssuerError>, TokenError> {
        let (issuer, clock, _) = self.parts();
        let key = self.ssh_keys().of(grant).map_err(|error| {
            TokenError::Failed(format!("no random bytes for a key can be had: {error}"))
        })?;
        let call = |access: Secret| {
            let key = &key;
            async move { issuer.ssh_certificate(grant, key, &access).await }
        };
        let given = self.with_access(&grant.identity, call).await?;
        Ok(given.and_then(|GivenCertificate { certificate, lifetime }| {
            check_valid(&certificate, clock.now())?;
            let (id, ends) = (certificate.id(), Some(certificate.valid_before));
            let content = TokenContent::Ssh { key: key.clone(), certificate };
            Ok(Given { content, id, ends, lifetime })
        }))
    }
}

/// What observers are told of the outcome of one call.
fn told(
    grant: &TokenGrant,
    started: SystemTime,
    latency: Duration,
    outcome: &Result<Token, SessionError>,
) -> SessionCall {
    let outcome = match outcome {
        Ok(token) => Ok(GivenKey {
            access_key_id: token.id.clone(),
            expiration: token.expiration,
            request_id: None,
            packed_percent: None,
        }),
        Err(error) => {
            let detail = error.detail.strip_prefix(": ").unwrap_or(&error.detail).to_owned();
            Err(FailedCall { cause: error.cause, code: None, detail, request_id: None })
        }
    };
    SessionCall {
        kind: CallKind::Token,
        subject: grant.name(),
        session_name: None,
        source_identity: None,
        started,
        latency,
        outcome,
    }
}

/// Whether servers take a certificate at `now`.
fn check_valid(certificate: &SshCertificate, now: SystemTime) -> Result<(), IssuerError> {
    let problem = if certificate.valid_before <= now {
        "has ended already"
    } else if certificate.valid_after > now + CLOCK_TOLERANCE {
        "is not valid yet"
    } else {
        return Ok(());
    };
    let text = format!("the certificate given {problem}; is a clock wrong, or its lifetime short?");
    Err(IssuerError::Unusable(text))
}

/// The end of a token received at `issued`: the earlier of what the issuer says.
fn expiration(
    ends: Option<SystemTime>,
    lifetime: Option<Duration>,
    issued: SystemTime,
) -> SystemTime {
    let after = lifetime.map(|it| issued + it.min(LONGEST_LIFETIME));
    let told = [ends, after].into_iter().flatten().min();
    told.unwrap_or(issued).min(issued + LONGEST_LIFETIME)
}

fn of_login(grant: &TokenGrant, error: &TokenError) -> SessionError {
    let (cause, detail, wait) = match error {
        TokenError::LoginNeeded(detail) => (Cause::LoginNeeded, detail, None),
        TokenError::Failed(detail) => (Cause::IssuerUnavailable, detail, None),
        TokenError::Later(detail, wait) => (Cause::IssuerUnavailable, detail, Some(*wait)),
    };
    SessionError::new(grant.name(), cause, detail).with_retry_after(wait)
}

fn of_issuer(grant: &TokenGrant, error: &IssuerError) -> SessionError {
    let (cause, wait) = match error {
        IssuerError::Unreachable(_) => (Cause::IssuerUnavailable, None),
        IssuerError::Later(_, wait) => (Cause::IssuerUnavailable, Some(*wait)),
        IssuerError::TokenRefused(_) => (Cause::LoginNeeded, None),
        IssuerError::Unusable(_) => (Cause::TokenDenied, None),
    };
    SessionError::new(grant.name(), cause, &error.to_string()).with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn seconds(ends: Option<u64>, lifetime: Option<u64>) -> u64 {
        let ends = ends.map(|it| NOW + Duration::from_secs(it));
        expiration(ends, lifetime.map(Duration::from_secs), NOW)
            .duration_since(NOW)
            .unwrap()
            .as_secs()
    }

    #[test]
    fn a_token_lasts_as_long_as_the_earlier_of_both_instants_says() {
        assert_eq!(seconds(Some(3600), Some(3500)), 3500);
        assert_eq!(seconds(Some(1800), Some(3600)), 1800);
        assert_eq!(seconds(Some(600), None), 600);
        assert_eq!(seconds(None, Some(u64::MAX)), 86_400);
        assert_eq!(seconds(Some(1_000_000), None), 86_400);
    }
}
