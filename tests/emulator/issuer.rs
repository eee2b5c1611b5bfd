//! An issuer of OIDC tokens for people: discovery, device authorization (RFC 8628), refresh tokens,
//! and a token for AWS, for GitHub, and certificates for ssh such as Vouch gives. It is at `/oidc` and knows the client `credmount`.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Emulator;
use super::body::AnswerBody;
use super::clock;
use super::device::{Decision, Devices, Poll};
use super::echo;
use super::params::ApiRequest;
use super::random;
use super::ssh::{CertificateFault, Draft, SshAuthority};
use super::state::Shared;
use super::web_identity::jwt;

/// Below which path it answers.
pub(crate) const PATH: &str = "/oidc";

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The only client.
pub(crate) const CLIENT: &str = "credmount";

/// Whom the tokens are about.
pub(crate) const SUBJECT: &str = "jane";

/// What can be set at any time.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct IssuerSettings {
    pub(crate) access_token_lifetime: Duration,
    pub(crate) code_lifetime: Duration,
    /// Whole seconds.
    pub(crate) poll_interval: Duration,
    pub(crate) gives_refresh_tokens: bool,
    pub(crate) github_token_lifetime: Duration,
    /// Whether it gives tokens for GitHub to nobody.
    pub(crate) denies_github: bool,
    /// Whole seconds.
    pub(crate) certificate_lifetime: Duration,
    /// Whom certificates for ssh are for.
    pub(crate) principals: Vec<String>,
    pub(crate) certificate_fault: Option<CertificateFault>,
    /// Whether it signs for nobody.
    pub(crate) denies_ssh: bool,
    /// Whether it answers everything with 503.
    pub(crate) is_down: bool,
    /// Whether it refuses everything but discovery and repeats what it was sent.
    pub(crate) echoes: bool,
    /// The seconds in the `Retry-After` of that.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl Default for IssuerSettings {
    fn default() -> Self {
        Self {
            access_token_lifetime: Duration::from_hours(1),
            code_lifetime: Duration::from_mins(10),
            poll_interval: Duration::from_secs(1),
            gives_refresh_tokens: true,
            github_token_lifetime: Duration::from_hours(1),
            denies_github: false,
            certificate_lifetime: Duration::from_hours(1),
            principals: vec![SUBJECT.to_owned()],
            certificate_fault: None,
            denies_ssh: false,
            is_down: false,
            echoes: false,
            retry_after_seconds: None,
        }
    }
}

/// What it remembers.
pub(crate) struct Issuer {
    settings: IssuerSettings,
    pub(crate) devices: Devices,
    /// Access tokens with their ends.
    access_tokens: HashMap<String, SystemTime>,
    refresh_tokens: Vec<String>,
    /// The tokens for GitHub, in order.
    github_tokens: Vec<GithubToken>,
    ssh_authority: SshAuthority,
    /// The certificates for ssh, in order.
    certificates: Vec<SshCertificate>,
    /// Every token given out.
    given: Vec<String>,
    /// The paths asked for, in order.
    calls: Vec<String>,
}

/// A token for GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GithubToken {
    pub(crate) token: String,
    pub(crate) owner: String,
    /// None for all.
    pub(crate) repositories: Vec<String>,
    pub(crate) ends: SystemTime,
}

/// A certificate for ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshCertificate {
    /// What was signed, as it was sent.
    pub(crate) public_key: String,
    pub(crate) line: String,
    pub(crate) serial: u64,
    pub(crate) ends: SystemTime,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            settings: IssuerSettings::default(),
            devices: Devices::default(),
            access_tokens: HashMap::new(),
            refresh_tokens: Vec::new(),
            github_tokens: Vec::new(),
            ssh_authority: SshAuthority::new(),
            certificates: Vec::new(),
            given: Vec::new(),
            calls: Vec::new(),
        }
    }
}

type Answer = Result<Value, (StatusCode, &'static str)>;

impl Issuer {
    fn perform(&mut self, request: &ApiRequest, path: &str, host: &str, now: SystemTime) -> Answer {
        let issuer = format!("http://{host}{PATH}");
        let sent = |name: &str| request.params.get(name).unwrap_or_default();
        match (&request.method, path) {
            (&Method::GET, DISCOVERY) => Ok(json!({
                "issuer": issuer,
                "device_authorization_endpoint": format!("{issuer}/device"),
                "token_endpoint": format!("{issuer}/token"),
            })),
            (&Method::POST, "/device") => {
                client(sent("client_id"))?;
                Ok(self.begin(&issuer, now))
            }
            (&Method::POST, "/token") => {
                client(sent("client_id"))?;
                match sent("grant_type") {
                    "urn:ietf:params:oauth:grant-type:device_code" => {
                        self.poll(sent("device_code"), &issuer, now)
                    }
                    "refresh_token" => self.refresh(sent("refresh_token"), &issuer, now),
                    _ => Err((StatusCode::BAD_REQUEST, "unsupported_grant_type")),
                }
            }
            (&Method::GET, "/v1/credentials/aws/token") => {
                self.bearer(request, now)?;
                Ok(json!({ "id_token": self.id_token(&issuer, "sts.amazonaws.com", now) }))
            }
            (&Method::POST, "/v1/credentials/github/token") => {
                self.bearer(request, now)?;
                self.github(&request.body, now)
            }
            (&Method::POST, "/v1/credentials/ssh") => {
                self.bearer(request, now)?;
                self.ssh(&request.body, now)
            }
            _ => Err((StatusCode::NOT_FOUND, "not_found")),
        }
    }

    /// Whether the request brings an access token that is good.
    fn bearer(
        &self,
        request: &ApiRequest,
        now: SystemTime,
    ) -> Result<(), (StatusCode, &'static str)> {
        let token = request.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        let end = token.and_then(|token| self.access_tokens.get(token));
        if end.is_none_or(|end| *end <= now) {
            return Err((StatusCode::UNAUTHORIZED, "invalid_token"));
        }
        Ok(())
    }

    /// An installation token for the owner in `body`.
    fn github(&mut self, body: &[u8], now: SystemTime) -> Answer {
        let asked: Value =
            serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "no_json"))?;
        if self.settings.denies_github {
            return Err((StatusCode::FORBIDDEN, "not_installed"));
        }
        let texts = |value: &Value| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.filter_map(|it| it.as_str().map(str::to_owned)).collect()
        };
        let lifetime = self.settings.github_token_lifetime;
        let token = GithubToken {
            token: format!("ghs_{}", random::secret()),
            owner: asked["owner"].as_str().unwrap_or_default().to_owned(),
            repositories: texts(&asked["repositories"]),
            ends: now + lifetime,
        };
        self.given.push(token.token.clone());
        self.github_tokens.push(token.clone());
        Ok(json!({
            "token": token.token,
            "expires_at": humantime::format_rfc3339(token.ends).to_string(),
            "expires_in": lifetime.as_secs(),
            "permissions": { "contents": "read" },
        }))
    }

    /// A certificate for the public key in `body`.
    fn ssh(&mut self, body: &[u8], now: SystemTime) -> Answer {
        let asked: Value =
            serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "no_json"))?;
        if self.settings.denies_ssh {
            return Err((StatusCode::FORBIDDEN, "no_principals"));
        }
        let lifetime = self.settings.certificate_lifetime;
        let public_key = asked["public_key"].as_str().unwrap_or_default().to_owned();
        let (serial, now) = (self.certificates.len() as u64 + 1, clock::floor_to_second(now));
        let (ends, principals) = (now + lifetime, &self.settings.principals);
        let draft = Draft {
            public_key: &public_key,
            key_id: &format!("{SUBJECT}@example.com"),
            serial,
            principals,
            from: now - Duration::from_mins(1),
            until: ends,
            fault: self.settings.certificate_fault,
        };
        let line = self.ssh_authority.sign(&draft);
        let line = line.ok_or((StatusCode::BAD_REQUEST, "invalid_public_key"))?;
        self.certificates.push(SshCertificate {
            public_key: public_key.clone(),
            line: line.clone(),
            serial,
            ends,
        });
        Ok(json!({
            "certificate": line,
            "valid_for_seconds": lifetime.as_secs(),
            "principals": principals,
            "serial": serial,
        }))
    }

    fn begin(&mut self, issuer: &str, now: SystemTime) -> Value {
        let IssuerSettings { code_lifetime, poll_interval, .. } = self.settings;
        let codes = self.devices.begin(CLIENT, now + code_lifetime, poll_interval);
        json!({
            "device_code": codes.device_code,
            "user_code": codes.user_code,
            "verification_uri": format!("{issuer}/verify"),
            "verification_uri_complete": format!("{issuer}/verify?user_code={}", codes.user_code),
            "expires_in": code_lifetime.as_secs(),
            "interval": poll_interval.as_secs(),
        })
    }

    fn poll(&mut self, device_code: &str, issuer: &str, now: SystemTime) -> Answer {
        let refused = |code| Err((StatusCode::BAD_REQUEST, code));
        match self.devices.poll(device_code, CLIENT, now) {
            Poll::Approved => Ok(self.tokens(issuer, now)),
            Poll::Pending => refused("authorization_pending"),
            Poll::SlowDown => refused("slow_down"),
            Poll::Denied => refused("access_denied"),
            Poll::Expired => refused("expired_token"),
            Poll::Unknown => refused("invalid_grant"),
        }
    }

    /// Each refresh token is good once.
    fn refresh(&mut self, token: &str, issuer: &str, now: SystemTime) -> Answer {
        let at = self.refresh_tokens.iter().position(|known| known == token);
        let at = at.ok_or((StatusCode::BAD_REQUEST, "invalid_grant"))?;
        self.refresh_tokens.swap_remove(at);
        Ok(self.tokens(issuer, now))
    }

    fn tokens(&mut self, issuer: &str, now: SystemTime) -> Value {
        let lifetime = self.settings.access_token_lifetime;
        let access = random::secret();
        self.access_tokens.insert(access.clone(), now + lifetime);
        let mut answer = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime.as_secs(),
            "id_token": self.id_token(issuer, CLIENT, now),
        });
        self.given.push(access);
        if self.settings.gives_refresh_tokens {
            let refresh = random::secret();
            answer["refresh_token"] = json!(refresh);
            self.refresh_tokens.push(refresh.clone());
            self.given.push(refresh);
        }
        answer
    }

    fn id_token(&mut self, issuer: &str, audience: &str, now: SystemTime) -> String {
        let exp = clock::unix_seconds(now + self.settings.access_token_lifetime);
        let token = jwt(&json!({ "iss": issuer, "aud": audience, "sub": SUBJECT, "exp": exp }));
        self.given.push(token.clone());
        token
    }
}

fn client(id: &str) -> Result<(), (StatusCode, &'static str)> {
    if id == CLIENT { Ok(()) } else { Err((StatusCode::UNAUTHORIZED, "invalid_client")) }
}

/// Answers a request for `path`, which comes without [`PATH`].
pub(crate) fn respond(shared: &Shared, request: &ApiRequest, path: &str) -> Response<AnswerBody> {
    let host = request.header("host").unwrap_or_default();
    let mut state = shared.state.lock();
    let now = state.now();
    state.issuer.calls.push(path.to_owned());
    let mut description = "no".to_owned();
    let IssuerSettings { is_down, retry_after_seconds, .. } = state.issuer.settings;
    let answer = if is_down {
        Err((StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"))
    } else if state.issuer.settings.echoes && path != DISCOVERY {
        description = echo::of(request);
        Err((StatusCode::BAD_REQUEST, "invalid_scope"))
    } else {
        state.issuer.perform(request, path, host, now)
    };
    let (status, json) = match answer {
        Ok(json) => (StatusCode::OK, json),
        Err((status, code)) => (status, json!({ "error": code, "error_description": description })),
    };
    let mut response = Response::new(AnswerBody::whole(json.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(date) = HeaderValue::from_str(&clock::http_date(now)) {
        headers.insert(DATE, date);
    }
    if let Some(seconds) = retry_after_seconds.filter(|_| is_down) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl Emulator {
    /// The URL of the issuer.
    pub(crate) fn issuer(&self) -> String {
        format!("{}{PATH}", self.endpoint())
    }

    /// Changes the settings of the issuer.
    pub(crate) fn set_issuer(&self, change: impl FnOnce(&mut IssuerSettings)) {
        change(&mut self.shared.state.lock().issuer.settings);
    }

    /// The user codes that wait for a person.
    pub(crate) fn login_codes(&self) -> Vec<String> {
        self.shared.state.lock().issuer.devices.user_codes()
    }

    /// What the person decides about a user code. Whether there is such a one.
    pub(crate) fn decide_login(&self, user_code: &str, decision: Decision) -> bool {
        self.shared.state.lock().issuer.devices.decide(user_code, decision)
    }

    /// Makes the codes under way too old.
    pub(crate) fn expire_login_codes(&self) {
        self.shared.state.lock().issuer.devices.expire();
    }

    /// Answers so many polls with `slow_down`.
    pub(crate) fn slow_logins_down(&self, polls: u32) {
        self.shared.state.lock().issuer.devices.slow_down(polls);
    }

    /// Takes back all access tokens, and refresh tokens too if `for_good`.
    pub(crate) fn revoke_logins(&self, for_good: bool) {
        let mut state = self.shared.state.lock();
        state.issuer.access_tokens.clear();
        if for_good {
            state.issuer.refresh_tokens.clear();
        }
    }

    /// How often the issuer was asked for this path.
    pub(crate) fn issuer_calls(&self, path: &str) -> usize {
        self.shared.state.lock().issuer.calls.iter().filter(|call| *call == path).count()
    }

    /// The tokens for GitHub that were given out, in order.
    pub(crate) fn github_tokens(&self) -> Vec<GithubToken> {
        self.shared.state.lock().issuer.github_tokens.clone()
    }

    /// The public key of who signs certificates for ssh, as sshd reads it.
    pub(crate) fn ssh_authority(&self) -> String {
        self.shared.state.lock().issuer.ssh_authority.public_key()
    }

    /// The certificates for ssh that were given out, in order.
    pub(crate) fn ssh_certificates(&self) -> Vec<SshCertificate> {
        self.shared.state.lock().issuer.certificates.clone()
    }

    /// Every token and device code that the issuer gave out.
    pub(crate) fn issuer_secrets(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        [&state.issuer.given[..], state.issuer.devices.given()].concat()
    }
}
