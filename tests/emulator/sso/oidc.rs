//! The OIDC service: registrations, device authorizations, tokens.

use serde_json::{Value, json};

use super::super::clock;
use super::super::device::Poll;
use super::super::state::State;
use super::Refusal;
use super::tokens::{ACCOUNT_ACCESS, Tokens};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `RegisterClient`.
pub(super) fn register(state: &mut State, sent: &Value) -> Result<Value, Refusal> {
    if text(sent, "clientName").is_empty() || text(sent, "clientType") != "public" {
        let description = "The client name is missing, or the client type is not public.";
        return Err(Refusal::oidc(
            "InvalidClientMetadataException",
            "invalid_client_metadata",
            description,
        ));
    }
    let scopes = sent["scopes"].as_array();
    let may_refresh =
        scopes.is_some_and(|scopes| scopes.iter().any(|scope| scope == ACCOUNT_ACCESS));
    let now = state.now();
    let (id, client) = state.sso.register(may_refresh, now);
    Ok(json!({
        "clientId": id,
        "clientSecret": client.secret,
        "clientIdIssuedAt": clock::unix_seconds(now),
        "clientSecretExpiresAt": clock::unix_seconds(client.expiration),
    }))
}

/// `StartDeviceAuthorization`.
pub(super) fn start_device(
    state: &mut State,
    sent: &Value,
    endpoint: &str,
) -> Result<Value, Refusal> {
    let client_id = authenticated(state, sent)?;
    if !text(sent, "startUrl").starts_with("http") {
        return Err(invalid_request());
    }
    let now = state.now();
    let settings = state.sso.settings.clone();
    let (lifetime, interval) = (settings.code_lifetime, settings.poll_interval);
    let codes = state.sso.devices.begin(&client_id, now + lifetime, interval);
    let page = format!("{endpoint}/_emulator/device");
    Ok(json!({
        "deviceCode": codes.device_code,
        "userCode": codes.user_code,
        "verificationUri": page,
        "verificationUriComplete": format!("{page}?user_code={}", codes.user_code),
        "expiresIn": lifetime.as_secs(),
        "interval": interval.as_secs(),
    }))
}

/// `CreateToken` by a device code or a refresh token.
pub(super) fn create_token(state: &mut State, sent: &Value) -> Result<Value, Refusal> {
    let client_id = authenticated(state, sent)?;
    let now = state.now();
    match text(sent, "grantType") {
        DEVICE_GRANT => match state.sso.devices.poll(text(sent, "deviceCode"), &client_id, now) {
            Poll::Approved => Ok(answer(&state.sso.issue_tokens(&client_id, now))),
            Poll::Pending => Err(Refusal::oidc(
                "AuthorizationPendingException",
                "authorization_pending",
                "Authorization is pending.",
            )),
            Poll::SlowDown => {
                Err(Refusal::oidc("SlowDownException", "slow_down", "Slow down to the interval."))
            }
            Poll::Denied => {
                Err(Refusal::oidc("AccessDeniedException", "access_denied", "Access denied."))
            }
            Poll::Expired => {
                Err(Refusal::oidc("ExpiredTokenException", "expired_token", "Device code expired."))
            }
            Poll::Unknown => Err(invalid_grant()),
        },
        "refresh_token" => {
            if state.sso.redeem(text(sent, "refreshToken"), &client_id) {
                Ok(answer(&state.sso.issue_tokens(&client_id, now)))
            } else {
                Err(invalid_grant())
            }
        }
        _ => Err(Refusal::oidc(
            "UnsupportedGrantTypeException",
            "unsupported_grant_type",
            "The grant type is not supported.",
        )),
    }
}

pub(super) fn invalid_request() -> Refusal {
    Refusal::oidc("InvalidRequestException", "invalid_request", "Invalid request.")
}

pub(super) fn invalid_grant() -> Refusal {
    Refusal::oidc("InvalidGrantException", "invalid_grant", "Invalid grant provided.")
}

/// The id of the client, whose secret and registration are good.
fn authenticated(state: &State, sent: &Value) -> Result<String, Refusal> {
    let id = text(sent, "clientId");
    let client = state.sso.clients.get(id);
    let is_good = client.is_some_and(|client| {
        client.secret == text(sent, "clientSecret") && state.now() < client.expiration
    });
    if is_good {
        return Ok(id.to_owned());
    }
    Err(Refusal::oidc("InvalidClientException", "invalid_client", "Client credentials are wrong."))
}

fn answer(tokens: &Tokens) -> Value {
    let Tokens { access_token, lifetime, refresh_token } = tokens;
    // Of whole seconds, as everything is there; the token itself ends no sooner.
    let mut json = json!({
        "accessToken": access_token,
        "expiresIn": lifetime.as_secs(),
        "tokenType": "Bearer",
    });
    if let Some(refresh_token) = refresh_token {
        json["refreshToken"] = json!(refresh_token);
    }
    json
}

fn text<'a>(sent: &'a Value, name: &str) -> &'a str {
    sent[name].as_str().unwrap_or_default()
}
