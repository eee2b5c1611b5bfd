//! What issuers answer: JSON → what the login needs, or why not.

use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::base64;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::signer;
use crate::identity::{DeviceGrant, IdToken, IssuerError, LoginPrompt, PollAnswer, Tokens};
use crate::model::{Secret, ServiceUrl};
use crate::sts::detail::sanitised;
use crate::sts::http_date::http_date;
use crate::sts::retry_after::retry_after;

/// The interval where the issuer says nothing (RFC 8628, section 3.2).
const DEFAULT_INTERVAL: u64 = 5;

/// The longest life of device codes that is believed: nobody takes longer to agree.
const LONGEST_CODES: u64 = 3600;

/// Longer user codes are none.
const LONGEST_USER_CODE: usize = 64;

/// An answer that has come whole.
pub(super) struct Body<'a> {
    url: &'a ServiceUrl,
    status: u16,
    bytes: Zeroizing<Vec<u8>>,
    /// The time that the issuer tells, unless a cache has kept the answer.
    date: Option<SystemTime>,
    /// The time by our clock.
    now: Option<SystemTime>,
    /// What the request carried.
    secret: Option<&'a Secret>,
}

/// The endpoints of an issuer.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) device_endpoint: Option<ServiceUrl>,
    pub(super) token_endpoint: ServiceUrl,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    device_authorization_endpoint: Option<String>,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Authorization {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

/// An error of OAuth 2.0 (RFC 6749, section 5.2).
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    error: Option<String>,
    error_description: Option<String>,
}

/// The token for AWS; the first of these keys counts.
#[derive(Deserialize)]
struct ForAws {
    id_token: Option<String>,
    token: Option<String>,
}

impl Discovery {
    /// The document in `body`, which must be that of `issuer` (`OpenID` Connect Discovery 1.0,
    /// section 4.3); a slash at the end makes no difference.
    pub(super) fn of(issuer: &ServiceUrl, body: &Body<'_>) -> Result<Self, IssuerError> {
        if body.status != 200 {
            return Err(body.refusal());
        }
        let document: Document = body.json()?;
        if document.issuer.trim_end_matches('/') != issuer.as_str().trim_end_matches('/') {
            let found = document.issuer;
            return Err(body.unusable(&format!("it is the document of the issuer {found}")));
        }
        let endpoint = |text: &str| ServiceUrl::parse(text).map_err(|why| body.unusable(&why.0));
        Ok(Self {
            device_endpoint: document
                .device_authorization_endpoint
                .map(|text| endpoint(&text))
                .transpose()?,
            token_endpoint: endpoint(&document.token_endpoint)?,
        })
    }
}

impl<'a> Body<'a> {
    /// The body of `answer`; trouble of the issuer itself is an error.
    pub(super) fn new(
        url: &'a ServiceUrl,
        answer: &HttpResponse,
        secret: Option<&'a Secret>,
    ) -> Result<Self, IssuerError> {
        let bytes = Zeroizing::new(answer.body().bytes().unwrap_or_default().to_vec());
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        // A cache says by `Age` that an answer is an old one (RFC 9111, section 5.1).
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        let date = date.and_then(http_date);
        let body = Self { url, status, bytes, date, now: None, secret };
        if body.status >= 500 || [408, 429].contains(&body.status) {
            return Err(match retry_after(answer.headers(), None) {
                Some(wait) => IssuerError::Later(body.said(), wait),
                None => IssuerError::Unreachable(body.said()),
            });
        }
        Ok(body)
    }

    /// The same, received when our clock said `now`.
    pub(super) fn received(self, now: SystemTime) -> Self {
        Self { now: Some(now), ..self }
    }

    /// When it is `instant` for the issuer, by our clock. Of both clocks either may be wrong, but the
    /// answer tells its own; what it tells is believed of its own instants only.
    pub(super) fn by_our_clock(&self, instant: SystemTime) -> SystemTime {
        let (Some(date), Some(now)) = (self.date, self.now) else { return instant };
        let since = |earlier: SystemTime, later: SystemTime| later.duration_since(earlier);
        let ours = match since(date, instant) {
            Ok(ahead) => now.checked_add(ahead),
            Err(error) => now.checked_sub(error.duration()),
        };
        ours.unwrap_or(instant)
    }

    pub(super) fn device_grant(
        &self,
        token_endpoint: ServiceUrl,
    ) -> Result<DeviceGrant, IssuerError> {
        if self.status != 200 {
            return Err(self.refusal());
        }
        let device: Authorization = self.json()?;
        let page = |text: &str| ServiceUrl::parse(text).map_err(|why| self.unusable(&why.0));
        page(&device.verification_uri)?;
        if let Some(complete) = &device.verification_uri_complete {
            page(complete)?;
        }
        let visible = |c: char| c.is_ascii_graphic() || c == ' ';
        if device.user_code.is_empty()
            || device.user_code.len() > LONGEST_USER_CODE
            || !device.user_code.chars().all(visible)
        {
            return Err(self.unusable("its user_code cannot be shown"));
        }
        let interval = device.interval.unwrap_or(DEFAULT_INTERVAL).clamp(1, 60);
        Ok(DeviceGrant {
            prompt: LoginPrompt {
                verification_uri: device.verification_uri,
                verification_uri_complete: device.verification_uri_complete,
                user_code: device.user_code,
            },
            device_code: Secret::new(device.device_code),
            token_endpoint,
            interval: Duration::from_secs(interval),
            lifetime: Duration::from_secs(device.expires_in.min(LONGEST_CODES)),
        })
    }

    pub(super) fn poll_answer(&self) -> Result<PollAnswer, IssuerError> {
        if self.status == 200 {
            return Ok(PollAnswer::Granted(self.tokens()?));
        }
        match &*self.code() {
            "authorization_pending" => Ok(PollAnswer::Pending),
            "slow_down" => Ok(PollAnswer::SlowDown),
            "access_denied" => Ok(PollAnswer::Denied),
            "expired_token" => Ok(PollAnswer::Expired),
            _ => Err(self.refusal()),
        }
    }

    pub(super) fn refreshed(&self) -> Result<Tokens, IssuerError> {
        match (self.status, &*self.code()) {
            (200, _) => self.tokens(),
            (_, "invalid_grant") | (401, _) => Err(IssuerError::TokenRefused(self.said())),
            _ => Err(self.refusal()),
        }
    }

    pub(super) fn token_for_aws(&self) -> Result<IdToken, IssuerError> {
        match self.status {
            200 => {
                let ForAws { id_token, token } = self.json()?;
                let token = id_token.or(token).filter(|token| !token.is_empty());
                token.map(|it| self.id_token(it)).ok_or_else(|| self.unusable("it has no id_token"))
            }
            401 => Err(IssuerError::TokenRefused(self.said())),
            _ => Err(self.refusal()),
        }
    }

    fn tokens(&self) -> Result<Tokens, IssuerError> {
        let granted: Granted = self.json()?;
        let access = Secret::new(granted.access_token);
        // It is sent in a header (RFC 6750, section 2.1).
        let fits = access.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if access.expose().is_empty() || !fits {
            return Err(self.unusable("its access_token is empty or can stand in no header"));
        }
        Ok(Tokens {
            access,
            lifetime: granted.expires_in.map(Duration::from_secs),
            refresh: granted.refresh_token.map(Secret::new),
            id_token: granted.id_token.map(|token| self.id_token(token)),
        })
    }

    fn id_token(&self, token: String) -> IdToken {
        let expiration = end_of(&token).map(|end| self.by_our_clock(end));
        IdToken { expiration, token: Secret::new(token) }
    }

    /// What a good answer says.
    pub(super) fn given<T: for<'de> Deserialize<'de>>(&self) -> Result<T, IssuerError> {
        match self.status {
            200..300 => self.json(),
            401 => Err(IssuerError::TokenRefused(self.said())),
            _ => Err(self.refusal()),
        }
    }

    /// The message of serde names types, keys and columns, and for an unknown kind of value the
    /// value: it is not repeated.
    fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, IssuerError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|_| self.unusable("it is not the JSON that is expected"))
    }

    fn code(&self) -> String {
        self.error().error.unwrap_or_default()
    }

    fn error(&self) -> Refusal {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn refusal(&self) -> IssuerError {
        IssuerError::Unusable(self.said())
    }

    pub(super) fn unusable(&self, why: &str) -> IssuerError {
        let text = format!("the answer of {} cannot be used: {why}", self.url);
        IssuerError::Unusable(sanitised(&text, signer(self.secret)))
    }

    /// Status, code and description, as far as there are any.
    fn said(&self) -> String {
        let Refusal { error, error_description } = self.error();
        let mut text = format!("{}: HTTP status {}", self.url, self.status);
        for part in [error, error_description].iter().flatten().filter(|part| !part.is_empty()) {
            text.push_str(", ");
            text.push_str(part);
        }
        sanitised(&text, signer(self.secret))
    }
}

/// The claim `exp` of a JWT, which is not verified: AWS does that.
fn end_of(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = token.split('.').nth(1)?;
    let padding = "=".repeat((4 - payload.len() % 4) % 4);
    let standard = Zeroizing::new(payload.replace('-', "+").replace('_', "/") + &padding);
    let json = Zeroizing::new(base64::decode(&*standard).ok()?);
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    let since = Duration::try_from_secs_f64(claims.exp).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests;
