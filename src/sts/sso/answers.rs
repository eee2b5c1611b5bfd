//! The calls that need a token: role credentials, and the exchange of a token for the next one; and
//! what each refusal of them means.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsOutput;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::DateTime;

use super::IdentityCenter;
use super::cache::{Refresh, Registration, Token};
use super::settings::{SsoProfile, SsoSession};
use crate::broker::{CallKind, Cause, SessionError};
use crate::model::Secret;
use crate::sts::assume::{self, Said};
use crate::sts::calls::Begun;
use crate::sts::classify::{Call, code, sts_error};
use crate::sts::detail::Signer;

/// Attempts at role credentials within one call, as every SDK makes them. The exchange of a refresh
/// token is one attempt, since each may be good only once.
const ATTEMPTS: u32 = 3;

/// Refusals of a refresh token after which a person has to sign in.
const ENDS_SIGN_IN: [&str; 7] = [
    "InvalidGrantException",
    "InvalidClientException",
    "UnauthorizedClientException",
    "UnsupportedGrantTypeException",
    "InvalidRequestException",
    "ExpiredTokenException",
    "AccessDeniedException",
];

impl IdentityCenter {
    /// `GetRoleCredentials`, which the observer is told of. AWS API Reference, "IAM Identity Center
    /// Portal".
    pub(super) async fn role_credentials(
        &self,
        subject: &str,
        profile: &SsoProfile,
        token: &Secret,
    ) -> Result<Credentials, SessionError> {
        let SsoProfile { name, session, account_id, role_name } = profile;
        let sdk = self.sdk(session, Some(name), ATTEMPTS).await;
        let request = aws_sdk_sso::Client::new(&sdk).get_role_credentials();
        let request = request.account_id(account_id).role_name(role_name);
        let begun = Begun::at(self.now(), CallKind::GetRoleCredentials);
        let answer = request.access_token(token.expose()).send().await;
        let said = match &answer {
            Ok(answer) => Said::with(answer, None),
            Err(error) => Said::by(error).without(token.expose()),
        };
        let answer = answer.map_err(|error| {
            let why = format!("role {role_name} of account {account_id}");
            match code(&error).as_deref() {
                Some("UnauthorizedException") => {
                    profile.login_needed(subject, "AWS no longer accepts it")
                }
                Some("ForbiddenException" | "ResourceNotFoundException") => {
                    let detail =
                        format!("{why}: {}", words(&error, Signer::Token(token), self.now()));
                    SessionError::new(subject, Cause::NotAssigned, &detail)
                }
                _ => self.other(subject, session, "portal", Signer::Token(token), &error),
            }
        });
        let given = answer.and_then(|answer| given(subject, account_id, &answer));
        let told = given.as_ref().map(|it| (it.access_key_id(), it.expiry().unwrap_or(UNIX_EPOCH)));
        let call = begun.ended(&format!("{account_id}/{role_name}"), assume::told(told, said));
        self.observer.called(&call).await;
        given
    }

    /// `CreateToken` with a refresh token. AWS API Reference, "IAM Identity Center OIDC".
    pub(super) async fn refreshed(
        &self,
        subject: &str,
        profile: &SsoProfile,
        refresh: &Refresh,
    ) -> Result<Token, SessionError> {
        let session = &profile.session;
        let sdk = self.sdk(session, Some(&profile.name), 1).await;
        let request = aws_sdk_ssooidc::Client::new(&sdk)
            .create_token()
            .grant_type("refresh_token")
            .client_id(&refresh.client.id)
            .client_secret(refresh.client.secret.expose())
            .refresh_token(refresh.token.expose());
        let answer = request.send().await.map_err(|error| {
            if code(&error).is_some_and(|code| ENDS_SIGN_IN.contains(&code.as_str())) {
                return profile.login_needed(subject, "AWS does not renew it any more");
            }
            let sent = [&refresh.client.secret, &refresh.token];
            self.other(subject, session, "OIDC service", Signer::Secrets(&sent), &error)
        })?;
        let next = answer.refresh_token().map(Secret::new);
        let refresh =
            Refresh { token: next.unwrap_or_else(|| refresh.token.clone()), ..refresh.clone() };
        let granted = granted(answer.access_token(), answer.expires_in(), self.machine_now());
        let (access, expires_at) = granted
            .ok_or_else(|| SessionError::new(subject, Cause::BadAnswer, "it has no token"))?;
        Ok(Token { access, expires_at, refresh: Some(refresh) })
    }

    /// A failure that has no more to do with tokens than with STS, of a call that `sent` secrets.
    pub(super) fn other<E>(
        &self,
        subject: &str,
        session: &SsoSession,
        service: &str,
        sent: Signer<'_>,
        error: &SdkError<E, HttpResponse>,
    ) -> SessionError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let call = Call { subject, region: None, signed_by: sent, now: self.now() };
        let failed = sts_error(call, error);
        let words = failed.detail.strip_prefix(": ").unwrap_or_default();
        let detail = format!("{service} of IAM Identity Center in {}: {words}", session.region);
        SessionError::new(subject, failed.cause, &detail).with_retry_after(failed.retry_after)
    }
}

/// The credentials in an answer.
fn given(
    subject: &str,
    account_id: &str,
    answer: &GetRoleCredentialsOutput,
) -> Result<Credentials, SessionError> {
    let bad = |detail: &str| SessionError::new(subject, Cause::BadAnswer, detail);
    let given = answer.role_credentials().ok_or_else(|| bad("it has no credentials"))?;
    let expiration = SystemTime::try_from(DateTime::from_millis(given.expiration()));
    let builder = Credentials::builder()
        .access_key_id(given.access_key_id().unwrap_or_default())
        .secret_access_key(given.secret_access_key().unwrap_or_default())
        .expiry(expiration.map_err(|_| bad("its expiration is out of range"))?)
        .account_id(account_id)
        .provider_name("IAM Identity Center");
    Ok(match given.session_token() {
        Some(token) => builder.session_token(token).build(),
        None => builder.build(),
    })
}

/// The token of an answer and when it ends.
pub(super) fn granted(
    access_token: Option<&str>,
    expires_in_seconds: i32,
    now: SystemTime,
) -> Option<(Secret, SystemTime)> {
    let seconds = u64::try_from(expires_in_seconds).ok()?;
    let token = access_token.filter(|token| !token.is_empty())?;
    Some((Secret::new(token), now + Duration::from_secs(seconds)))
}

/// A client that the OIDC service has registered.
pub(super) fn registered(
    id: Option<&str>,
    secret: Option<&str>,
    expires_at_seconds: i64,
) -> Option<Registration> {
    let expires_at = SystemTime::try_from(DateTime::from_secs(expires_at_seconds)).ok()?;
    Some(Registration { id: id?.to_owned(), secret: Secret::new(secret?), expires_at })
}

/// The code and the message of an answer, without what was sent.
fn words<E>(error: &SdkError<E, HttpResponse>, signed_by: Signer<'_>, now: SystemTime) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let told = sts_error(Call { subject: "", region: None, signed_by, now }, error);
    told.detail.strip_prefix(": ").unwrap_or_default().to_owned()
}
