//! Reads and makes OIDC tokens. Signatures are not verified: form, expiration, and the claims that
//! a role asks for count here.

use std::time::SystemTime;

use aws_smithy_types::base64;
use serde_json::Value;

use super::answer::ApiError;
use super::clock;
use super::options::WebIdentityTrust;
use super::random;

/// The claims of a token that stand in the answer; empty where the token has none.
#[derive(Debug)]
pub(crate) struct WebIdentity {
    pub(crate) subject: String,
    pub(crate) audience: String,
    pub(crate) issuer: String,
}

impl WebIdentity {
    /// Reads the claims of `token`.
    ///
    /// # Errors
    /// `InvalidIdentityToken` for what has not the form of a JWT, `ExpiredTokenException` for one
    /// whose `exp` is not after `now`.
    pub(crate) fn read(token: &str, now: SystemTime) -> Result<Self, ApiError> {
        let claims = claims(token).ok_or_else(|| {
            let message = "The ID Token provided is not a valid JWT. (You may see this error if \
                           you sent an Access Token)";
            ApiError::bad_request("InvalidIdentityToken", message)
        })?;
        let now = clock::unix_seconds(now);
        if let Some(expiration) = claims.get("exp").and_then(Value::as_u64)
            && expiration <= now
        {
            let message = format!(
                "Token expired: current date/time {now} must be before the expiration date/time \
                 {expiration}"
            );
            return Err(ApiError::bad_request("ExpiredTokenException", message));
        }
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        Ok(Self { subject: text("sub"), audience: text("aud"), issuer: text("iss") })
    }
}

impl WebIdentity {
    /// Whether a role with this trust may be assumed by it.
    pub(crate) fn satisfies(&self, trust: &WebIdentityTrust) -> bool {
        let fits = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        fits(&trust.issuer, &self.issuer)
            && fits(&trust.audience, &self.audience)
            && fits(&trust.subject, &self.subject)
    }
}

/// A token with these claims, and with a signature that nobody verifies but that makes it unlike
/// any other.
pub(crate) fn jwt(claims: &Value) -> String {
    let part = |text: &str| {
        let standard = base64::encode(text);
        standard.replace('+', "-").replace('/', "_").replace('=', "")
    };
    let header = r#"{"alg":"RS256","typ":"JWT"}"#;
    format!("{}.{}.{}", part(header), part(&claims.to_string()), random::letters(64))
}

fn claims(token: &str) -> Option<Value> {
    let [header, payload, _signature] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
    let _header = json_object(header)?;
    json_object(payload)
}

fn json_object(base64_url: &str) -> Option<Value> {
    let padding = "=".repeat((4 - base64_url.len() % 4) % 4);
    let standard = base64_url.replace('-', "+").replace('_', "/") + &padding;
    serde_json::from_slice(&base64::decode(standard).ok()?).ok().filter(Value::is_object)
}
