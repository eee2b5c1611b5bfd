//! What a login needs from an issuer. Owned by the core, implemented by `sts/`, where the HTTP client
//! is.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use crate::broker::BoxFuture;
use crate::model::{
    GithubGrant, OidcIdentity, Secret, ServiceUrl, SshCertificate, SshGrant, SshKey,
};

/// What a person needs to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginPrompt {
    /// The page to open.
    pub verification_uri: String,
    /// The same with the code in it, if the issuer gives one.
    pub verification_uri_complete: Option<String>,
    /// The code to type or compare. Good for nothing but this.
    pub user_code: String,
}

/// The answer of the device authorization endpoint (RFC 8628, section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceGrant {
    /// What the person is told.
    pub prompt: LoginPrompt,
    /// What the client proves with that it began the login.
    pub device_code: Secret,
    /// Where it is asked for tokens.
    pub token_endpoint: ServiceUrl,
    /// The least time between two polls; 5 s where the issuer says nothing.
    pub interval: Duration,
    /// How long the codes are good.
    pub lifetime: Duration,
}

/// An ID token (JWT) with what its claims say of its end.
#[derive(Debug, Clone)]
pub struct IdToken {
    /// The token.
    pub token: Secret,
    /// The claim `exp`, by our clock, if it can be read.
    pub expiration: Option<SystemTime>,
}

/// What the token endpoint gives.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: Secret,
    /// How long it is good from now on, if the issuer says it.
    pub lifetime: Option<Duration>,
    /// For the next one, if the issuer gives one.
    pub refresh: Option<Secret>,
    /// If one was asked for (`scope` has `openid`).
    pub id_token: Option<IdToken>,
}

/// A token of another service, as its issuer gave it.
#[derive(Debug, Clone)]
pub struct GivenToken {
    /// The token.
    pub token: Secret,
    /// When it ends, by our clock, if the issuer says so.
    pub ends: Option<SystemTime>,
    /// How long it is good from now on, if it says so. One of both is there.
    pub lifetime: Option<Duration>,
}

/// A certificate for ssh, as its issuer gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenCertificate {
    /// The certificate, of the key that was sent.
    pub certificate: SshCertificate,
    /// How long it is good from now on, if the issuer says so beside it.
    pub lifetime: Option<Duration>,
}

/// The answer to one poll (RFC 8628, section 3.5).
#[derive(Debug, Clone)]
pub enum PollAnswer {
    /// The person has agreed.
    Granted(Tokens),
    /// `authorization_pending`.
    Pending,
    /// `slow_down`.
    SlowDown,
    /// `access_denied`.
    Denied,
    /// `expired_token`.
    Expired,
}

/// Why an issuer gave nothing. The texts are one bounded line each and hold no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// It cannot be reached, does not answer, or has trouble itself: it may pass.
    #[error("{0}")]
    Unreachable(String),
    /// The same, and it says for how long not to ask again.
    #[error("{0}; it wants to be asked again in {wait}", wait = humantime::format_duration(*.1))]
    Later(String, Duration),
    /// It does not accept the token that it was sent.
    #[error("{0}")]
    TokenRefused(String),
    /// It refuses, or what it answers cannot be used: somebody has to mend something.
    #[error("{0}")]
    Unusable(String),
}

/// An issuer of tokens. Every call ends by itself within a bounded time, and is made once.
pub trait Issuer: Debug + Send + Sync + 'static {
    /// Begins a login.
    fn begin<'a>(
        &'a self,
        identity: &'a OidcIdentity,
    ) -> BoxFuture<'a, Result<DeviceGrant, IssuerError>>;

    /// Asks whether the person has agreed.
    fn poll<'a>(
        &'a self,
        identity: &'a OidcIdentity,
        grant: &'a DeviceGrant,
    ) -> BoxFuture<'a, Result<PollAnswer, IssuerError>>;

    /// Exchanges a refresh token, which is good for nothing any more if that is refused.
    fn refresh<'a>(
        &'a self,
        identity: &'a OidcIdentity,
        refresh: &'a Secret,
    ) -> BoxFuture<'a, Result<Tokens, IssuerError>>;

    /// Exchanges an access token for the token that AWS takes.
    fn token_for_aws<'a>(
        &'a self,
        url: &'a ServiceUrl,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<IdToken, IssuerError>>;

    /// Asks for a GitHub token in the name of who holds the access token.
    fn github_token<'a>(
        &'a self,
        grant: &'a GithubGrant,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<GivenToken, IssuerError>>;

    /// Asks for a certificate of `key`, of which only the public half is sent.
    fn ssh_certificate<'a>(
        &'a self,
        grant: &'a SshGrant,
        key: &'a SshKey,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<GivenCertificate, IssuerError>>;

    /// The name by which records call a token: its SHA-256 in base64.
    fn hash(&self, token: &Secret) -> String;
}
