//! The control interface over HTTP, below `/_emulator/`: the same as the methods of
//! [`super::Emulator`], as JSON.

use std::collections::HashMap;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::AnswerBody;
use super::clock;
use super::device::Decision;
use super::faults::FaultRule;
use super::options::{RoleRules, valid_token_length};
use super::params::ApiRequest;
use super::sso::SsoChange;
use super::state::{IssuedSession, Shared, State};

/// Changes to the settings; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsChange {
    /// 0 ends the override.
    session_lifetime_seconds: Option<f64>,
    token_length: Option<(usize, usize)>,
    clock_offset_seconds: Option<i64>,
    source_lifetime_seconds: Option<f64>,
    /// Empty for none, as the two below.
    instance_role: Option<String>,
    container_role: Option<String>,
    container_token: Option<String>,
    #[serde(default)]
    roles: HashMap<String, RoleRules>,
}

/// What a person decides about a user code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    user_code: String,
    decision: Decision,
}

/// Answers a request for `path`, which comes without the prefix.
pub(crate) fn respond(shared: &Shared, request: &ApiRequest, path: &str) -> Response<AnswerBody> {
    let (status, value) = match handle(shared, request, path) {
        Ok(value) => (StatusCode::OK, value),
        Err((status, message)) => (status, json!({ "error": message })),
    };
    let mut response = Response::new(AnswerBody::whole(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn handle(
    shared: &Shared,
    request: &ApiRequest,
    path: &str,
) -> Result<Value, (StatusCode, String)> {
    let wrong = |message: String| (StatusCode::BAD_REQUEST, message);
    match (&request.method, path) {
        (&Method::GET, "health") => Ok(json!({ "status": "ok" })),
        (&Method::GET, "calls") => Ok(json!({ "calls": shared.state.lock().calls })),
        (&Method::GET, "sessions") => {
            let sessions: Vec<Value> = shared.state.lock().sessions.iter().map(shown).collect();
            Ok(json!({ "sessions": sessions }))
        }
        (&Method::POST, "faults") => {
            let rule: FaultRule = parse(&request.body).map_err(wrong)?;
            shared.state.lock().faults.add(rule);
            Ok(json!({}))
        }
        (&Method::DELETE, "faults") => {
            shared.clear_faults();
            Ok(json!({}))
        }
        (&Method::POST, "rotate") => {
            shared.state.lock().sources.rotate();
            Ok(json!({}))
        }
        (&Method::POST, "settings") => {
            let change: SettingsChange = parse(&request.body).map_err(wrong)?;
            change.apply(&mut shared.state.lock()).map_err(wrong)?;
            Ok(json!({}))
        }
        // Whoever opens the verification page in a browser is taken to approve.
        (&Method::GET, "device") => {
            let code = request.params.get("user_code").unwrap_or_default();
            decided(shared, code, Decision::Approve)
        }
        (&Method::GET, "devices") => {
            Ok(json!({ "user_codes": shared.state.lock().sso.devices.user_codes() }))
        }
        (&Method::POST, "devices") => {
            let choice: Choice = parse(&request.body).map_err(wrong)?;
            decided(shared, &choice.user_code, choice.decision)
        }
        (&Method::POST, "sso") => {
            let change: SsoChange = parse(&request.body).map_err(wrong)?;
            change.apply(&mut shared.state.lock());
            Ok(json!({}))
        }
        (method, _) => {
            Err((StatusCode::NOT_FOUND, format!("there is no {method} /_emulator/{path}")))
        }
    }
}

fn decided(shared: &Shared, code: &str, decision: Decision) -> Result<Value, (StatusCode, String)> {
    if shared.state.lock().sso.devices.decide(code, decision) {
        return Ok(json!({}));
    }
    Err((StatusCode::NOT_FOUND, "this user code is not under way".to_owned()))
}

/// A session without its secrets.
fn shown(session: &IssuedSession) -> Value {
    json!({
        "access_key_id": session.access_key_id,
        "arn": session.arn,
        "expiration": clock::rfc3339(session.expiration),
        "attributes": session.attributes,
    })
}

impl SettingsChange {
    /// Applies all of the change, or nothing of it.
    fn apply(self, state: &mut State) -> Result<(), String> {
        let mut settings = state.settings.clone();
        for (name, seconds, setting) in [
            (
                "session_lifetime_seconds",
                self.session_lifetime_seconds,
                &mut settings.session_lifetime,
            ),
            (
                "source_lifetime_seconds",
                self.source_lifetime_seconds,
                &mut settings.source_lifetime,
            ),
        ] {
            let Some(seconds) = seconds else { continue };
            let lifetime =
                Duration::try_from_secs_f64(seconds).map_err(|error| format!("{name}: {error}"))?;
            *setting = (!lifetime.is_zero()).then_some(lifetime);
        }
        for (text, setting) in [
            (self.instance_role, &mut settings.instance_role),
            (self.container_role, &mut settings.container_role),
            (self.container_token, &mut settings.container_token),
        ] {
            if let Some(text) = text {
                *setting = Some(text).filter(|text| !text.is_empty());
            }
        }
        if let Some((min, max)) = self.token_length {
            settings.token_length = valid_token_length(min, max)?;
        }
        settings.clock_offset_seconds =
            self.clock_offset_seconds.unwrap_or(settings.clock_offset_seconds);
        for (name, rules) in self.roles {
            settings.roles.insert(name, rules.validated()?);
        }
        state.settings = settings;
        Ok(())
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
