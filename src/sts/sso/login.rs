//! Signing in: the device authorization of IAM Identity Center (RFC 8628, AWS API Reference, "IAM
//! Identity Center OIDC"). Must not know who shows the code, nor how.

use std::time::{Duration, SystemTime};

use super::answers::{granted, registered};
use super::cache::{Refresh, Registration, Token};
use super::settings::SsoSession;
use super::{IdentityCenter, base};
use crate::broker::{Cause, SessionError};
use crate::model::Secret;
use crate::sts::classify::code;
use crate::sts::detail::Signer;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a client that is told `slow_down` adds to its pauses (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The pause between two polls where the service names none (RFC 8628, section 3.2).
const USUAL_INTERVAL: Duration = Duration::from_secs(5);

/// A registration is used no more when it ends within this time.
const REGISTRATION_AHEAD: Duration = Duration::from_hours(1);

/// A device authorization that has begun.
#[derive(Debug)]
pub struct DeviceCodes {
    /// Where to go, with the code filled in if the service can do that.
    pub uri: String,
    /// The page where the code is entered.
    pub plain_uri: String,
    /// The code to compare or to enter.
    pub user_code: String,
    /// When both codes end, by the clock of the daemon.
    pub expires_at: SystemTime,
    /// The pause before the next poll.
    pub interval: Duration,
    device_code: Secret,
    client: Registration,
    session: SsoSession,
}

/// What a poll brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// Nothing yet; poll again after [`DeviceCodes::interval`].
    Pending,
    /// The sign-in stands in the cache, with a token that ends then and, if so, renews itself.
    SignedIn {
        /// When the token ends.
        expires_at: SystemTime,
        /// Whether it can be exchanged for the next one without a person.
        renewable: bool,
    },
    /// The person said no.
    Denied,
    /// The codes ended before the person decided.
    Expired,
}

impl IdentityCenter {
    /// Begins to sign in to `session`.
    ///
    /// # Errors
    /// If the sign-in could not be kept afterwards; why AWS begins none.
    pub async fn begin(&self, session: &SsoSession) -> Result<DeviceCodes, SessionError> {
        let subject = subject(session);
        // Before anybody types a code in vain.
        let sign_in = self.sign_in(&subject, session)?;
        sign_in.check().map_err(|error| {
            SessionError::new(&subject, Cause::Misconfigured, &error.to_string())
        })?;
        let client = match self.known_client(session) {
            Some(client) => client,
            None => self.register(&subject, session).await?,
        };
        match self.authorize(&subject, session, client).await {
            // The service may have forgotten a client that we have not.
            Err(error) if error.cause == Cause::Rejected => {
                let client = self.register(&subject, session).await?;
                self.authorize(&subject, session, client).await
            }
            begun => begun,
        }
    }

    /// Asks once whether the person has decided. Whoever asks too often is told a longer interval.
    ///
    /// # Errors
    /// Why AWS does not answer that; it may be asked again if [`RetryClass`] says that it may pass.
    ///
    /// [`RetryClass`]: crate::broker::RetryClass
    pub async fn poll(&self, codes: &mut DeviceCodes) -> Result<Polled, SessionError> {
        let session = &codes.session;
        let subject = subject(session);
        let sdk = self.sdk(session, None, 1).await;
        let request = aws_sdk_ssooidc::Client::new(&sdk)
            .create_token()
            .grant_type(DEVICE_GRANT)
            .client_id(&codes.client.id)
            .client_secret(codes.client.secret.expose())
            .device_code(codes.device_code.expose());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                return match code(&error).as_deref() {
                    Some("AuthorizationPendingException") => Ok(Polled::Pending),
                    Some("SlowDownException") => {
                        codes.interval += SLOWER;
                        Ok(Polled::Pending)
                    }
                    Some("ExpiredTokenException") => Ok(Polled::Expired),
                    Some("AccessDeniedException") => Ok(Polled::Denied),
                    _ => {
                        let sent = [&codes.client.secret, &codes.device_code];
                        let sent = Signer::Secrets(&sent);
                        Err(self.other(&subject, session, "OIDC service", sent, &error))
                    }
                };
            }
        };
        let (access, expires_at) =
            granted(answer.access_token(), answer.expires_in(), self.machine_now())
                .ok_or_else(|| SessionError::new(&subject, Cause::BadAnswer, "it has no token"))?;
        let refresh = answer
            .refresh_token()
            .map(|token| Refresh { token: Secret::new(token), client: codes.client.clone() });
        let token = Token { access, expires_at, refresh };
        let sign_in = self.sign_in(&subject, session)?;
        sign_in.store(session, &token, &codes.client).map_err(|error| {
            SessionError::new(&subject, Cause::Misconfigured, &error.to_string())
        })?;
        Ok(Polled::SignedIn { expires_at, renewable: token.refresh.is_some() })
    }

    /// The client of an earlier sign-in, if it may still be used.
    fn known_client(&self, session: &SsoSession) -> Option<Registration> {
        let cache = self.cache.as_ref()?;
        let client = cache.read_registration(&cache.file(&session.registration_name()))?;
        (self.now() + REGISTRATION_AHEAD < client.expires_at).then_some(client)
    }

    async fn register(
        &self,
        subject: &str,
        session: &SsoSession,
    ) -> Result<Registration, SessionError> {
        let sdk = self.sdk(session, None, 3).await;
        let scopes = Some(session.scopes.clone()).filter(|scopes| !scopes.is_empty());
        let request = aws_sdk_ssooidc::Client::new(&sdk)
            .register_client()
            .client_name("credmount")
            .client_type("public")
            .set_scopes(scopes);
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            self.other(subject, session, "OIDC service", Signer::Nobody, &error)
        })?;
        let ends = answer.client_secret_expires_at();
        let client = registered(answer.client_id(), answer.client_secret(), ends);
        let client = client
            .ok_or_else(|| SessionError::new(subject, Cause::BadAnswer, "it has no client"))?;
        if let Some(cache) = &self.cache {
            let file = cache.file(&session.registration_name());
            // Without it the next sign-in registers anew.
            if let Err(error) = cache.write_registration(&file, &client) {
                tracing::debug!(%error, "the registration is not kept");
            }
        }
        Ok(client)
    }

    async fn authorize(
        &self,
        subject: &str,
        session: &SsoSession,
        client: Registration,
    ) -> Result<DeviceCodes, SessionError> {
        let sdk = self.sdk(session, None, 3).await;
        let request = aws_sdk_ssooidc::Client::new(&sdk)
            .start_device_authorization()
            .client_id(&client.id)
            .client_secret(client.secret.expose())
            .start_url(&session.start_url);
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            self.other(subject, session, "OIDC service", Signer::Token(&client.secret), &error)
        })?;
        let bad = || SessionError::new(subject, Cause::BadAnswer, "it lacks a code or a page");
        let plain_uri = answer.verification_uri().ok_or_else(bad)?;
        let seconds = |seconds: i32| u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let lifetime =
            seconds(answer.expires_in()).map_or(Duration::from_mins(10), Duration::from_secs);
        Ok(DeviceCodes {
            uri: answer.verification_uri_complete().unwrap_or(plain_uri).to_owned(),
            plain_uri: plain_uri.to_owned(),
            user_code: answer.user_code().ok_or_else(bad)?.to_owned(),
            expires_at: self.now() + lifetime.min(base::LONGEST_LIFETIME),
            interval: seconds(answer.interval()).map_or(USUAL_INTERVAL, Duration::from_secs),
            device_code: Secret::new(answer.device_code().ok_or_else(bad)?),
            client,
            session: session.clone(),
        })
    }
}

fn subject(session: &SsoSession) -> String {
    format!("sign-in {}", session.label())
}
