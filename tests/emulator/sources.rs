//! Services that hand out keys of a role to whoever runs at the right place: the EC2 instance
//! metadata service (`IMDSv2`) and the container credentials endpoint of ECS and EKS Pod Identity.
//! Both keep their keys until little of their life is left, as the real ones do, so that asking
//! again is no rotation.
//!
//! Sources: Amazon EC2 User Guide, "Use the Instance Metadata Service"; AWS SDKs and Tools
//! Reference Guide, "Container credential provider"; Amazon EKS User Guide, "EKS Pod Identity".

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::body::AnswerBody;
use super::clock;
use super::echo;
use super::faults::Fault;
use super::keys::{Principal, PrincipalKind};
use super::params::ApiRequest;
use super::random;
use super::state::{IssuedSession, State};

/// What the keys of instances and containers live, unless the settings say otherwise.
const LIFETIME: Duration = Duration::from_hours(6);
const TOKEN_PATH: &str = "/latest/api/token";
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const REGION_PATH: &str = "/latest/meta-data/placement/region";
/// Where the container credentials of ECS are, below the endpoint.
pub(crate) const ECS_PATH: &str = "/v2/credentials/1f4e";
/// Where those of EKS Pod Identity are.
pub(crate) const EKS_PATH: &str = "/v1/credentials";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";

/// What is asked for, by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A session token of `IMDSv2`.
    Token,
    /// The name of the role of the instance.
    RoleName,
    /// The keys of the instance.
    InstanceKeys,
    /// The region of the instance.
    Region,
    /// Something else of the instance, which it does not have.
    NoMetadata,
    /// The keys of the container.
    ContainerKeys,
}

impl Asked {
    /// `None` for a path that is none of these services'.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Some(match path {
            TOKEN_PATH => Self::Token,
            REGION_PATH => Self::Region,
            ECS_PATH | EKS_PATH => Self::ContainerKeys,
            _ if path == ROLE_PATH || path == ROLE_PATH.trim_end_matches('/') => Self::RoleName,
            _ if path.starts_with(ROLE_PATH) => Self::InstanceKeys,
            _ if path.starts_with("/latest/") => Self::NoMetadata,
            _ => return None,
        })
    }

    /// What stands as the action of the call, in records and in fault rules.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Token => "InstanceToken",
            Self::RoleName => "InstanceRole",
            Self::InstanceKeys => "InstanceCredentials",
            Self::Region | Self::NoMetadata => "InstanceMetadata",
            Self::ContainerKeys => "ContainerCredentials",
        }
    }
}

/// What the services remember.
#[derive(Default)]
pub(crate) struct Sources {
    /// `IMDSv2` tokens and when they end.
    tokens: HashMap<String, SystemTime>,
    /// The keys of a role that are handed out now, by role name, and when they were issued.
    current: HashMap<String, (IssuedSession, SystemTime)>,
}

impl Sources {
    /// The tokens of the metadata service so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.keys().cloned().collect()
    }

    /// Makes the next answers hold new keys.
    pub(crate) fn rotate(&mut self) {
        self.current.clear();
    }
}

/// What is answered.
pub(crate) struct Answer {
    pub(crate) response: Response<AnswerBody>,
    /// For the record: `OK`, or why not.
    pub(crate) result: &'static str,
    /// Access key id of the keys that the answer holds.
    pub(crate) access_key_id: Option<String>,
}

/// Answers one request.
pub(crate) fn respond(
    state: &mut State,
    request: &ApiRequest,
    asked: Asked,
    fault: Option<&Fault>,
) -> Answer {
    if let Some(Fault::ServerError { status }) = fault {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return refused(status, "ServerError");
    }
    if fault == Some(&Fault::Echo) {
        return echoed(request, asked);
    }
    if asked == Asked::ContainerKeys {
        return container(state, request, fault);
    }
    if asked == Asked::Token {
        return token(state, request);
    }
    // Version 1 of the service answers without a token; this one does not.
    let now = state.now();
    let sent = request.header(TOKEN_HEADER).and_then(|token| state.sources.tokens.get(token));
    if sent.is_none_or(|end| *end <= now) {
        return refused(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let role = state.settings.instance_role.clone();
    match (asked, role) {
        (Asked::Region, _) => plain("eu-west-1"),
        (Asked::RoleName, Some(role)) => plain(role),
        (Asked::InstanceKeys, Some(role)) if request.uri.path()[ROLE_PATH.len()..] == role => {
            if fault == Some(&Fault::Deny) {
                let code = "AssumeRoleUnauthorizedAccess";
                let message = "EC2 cannot assume the role";
                return json_answer(&json!({ "Code": code, "Message": message }), code, None);
            }
            let session = keys(state, &role, "i-0123456789abcdef0", fault);
            let told = json!({
                "Code": "Success",
                "LastUpdated": clock::rfc3339(now),
                "Type": "AWS-HMAC",
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret_access_key,
                "Token": session.session_token,
                "Expiration": clock::rfc3339(session.expiration),
            });
            json_answer(&told, "OK", Some(session.access_key_id))
        }
        _ => refused(StatusCode::NOT_FOUND, "NotFound"),
    }
}

fn token(state: &mut State, request: &ApiRequest) -> Answer {
    if request.method != Method::PUT {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
    }
    // Who comes by way of a proxy is somewhere else.
    if request.header("x-forwarded-for").is_some() {
        return refused(StatusCode::FORBIDDEN, "Forbidden");
    }
    let asked = request.header(TTL_HEADER).and_then(|ttl| ttl.parse().ok());
    let Some(seconds) = asked.filter(|seconds| (1..=21_600).contains(seconds)) else {
        return refused(StatusCode::BAD_REQUEST, "BadRequest");
    };
    let token = random::secret_access_key();
    let end = state.now() + Duration::from_secs(seconds);
    state.sources.tokens.insert(token.clone(), end);
    let mut answer = plain(token);
    answer.response.headers_mut().insert(TTL_HEADER, HeaderValue::from(seconds));
    answer
}

fn container(state: &mut State, request: &ApiRequest, fault: Option<&Fault>) -> Answer {
    let Some(role) = state.settings.container_role.clone() else {
        return refused(StatusCode::NOT_FOUND, "NotFound");
    };
    let wanted = state.settings.container_token.as_deref();
    if wanted.is_some() && request.header("authorization") != wanted {
        return refused(StatusCode::FORBIDDEN, "Forbidden");
    }
    let session = keys(state, &role, "container", fault);
    let mut told = json!({
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "Expiration": clock::rfc3339(session.expiration),
    });
    if request.uri.path() == EKS_PATH {
        told["AccountId"] = state.account_id.clone().into();
    } else {
        told["RoleArn"] = role_arn(&state.account_id, &role).into();
    }
    json_answer(&told, "OK", Some(session.access_key_id))
}

/// The keys of `role` now: those of before while more than a third of their life is left.
fn keys(state: &mut State, role: &str, session_name: &str, fault: Option<&Fault>) -> IssuedSession {
    let now = state.now();
    if let Some((session, issued)) = state.sources.current.get(role)
        && let (Ok(left), Ok(lived)) =
            (session.expiration.duration_since(now), now.duration_since(*issued))
        && left > lived / 2
        && fault.is_none()
    {
        return session.clone();
    }
    let account_id = state.account_id.clone();
    let role_id = state.role_id(&account_id, role);
    let principal = Principal {
        kind: PrincipalKind::AssumedRole,
        arn: format!("arn:aws:sts::{account_id}:assumed-role/{role}/{session_name}"),
        account_id,
        user_id: format!("{role_id}:{session_name}"),
        attributes: super::SessionAttributes::default(),
        has_mfa: false,
    };
    let lifetime = state.settings.source_lifetime;
    let lifetime = lifetime.or(state.settings.session_lifetime).unwrap_or(LIFETIME);
    let session = state.issue_for(principal, lifetime, fault);
    state.sources.current.insert(role.to_owned(), (session.clone(), now));
    session
}

/// The ARN of a role of the account `account_id`.
pub(crate) fn role_arn(account_id: &str, role: &str) -> String {
    format!("arn:aws:iam::{account_id}:role/{role}")
}

fn plain(text: impl Into<String>) -> Answer {
    let response = Response::new(AnswerBody::whole(text.into()));
    Answer { response, result: "OK", access_key_id: None }
}

fn json_answer(value: &Value, result: &'static str, access_key_id: Option<String>) -> Answer {
    let mut answer = plain(value.to_string());
    let json = HeaderValue::from_static("application/json");
    answer.response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Answer { result, access_key_id, ..answer }
}

/// A refusal that repeats the request; the metadata service answers it with status 200.
fn echoed(request: &ApiRequest, asked: Asked) -> Answer {
    let message = echo::of(request);
    let key = if asked == Asked::ContainerKeys { "code" } else { "Code" };
    let mut answer =
        json_answer(&json!({ key: "Echo", "message": message, "Message": message }), "Echo", None);
    if asked == Asked::ContainerKeys {
        *answer.response.status_mut() = StatusCode::BAD_REQUEST;
    }
    answer
}

fn refused(status: StatusCode, result: &'static str) -> Answer {
    let mut answer = plain(format!("{status}\n"));
    *answer.response.status_mut() = status;
    Answer { result, ..answer }
}
