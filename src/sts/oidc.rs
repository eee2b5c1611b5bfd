//! Issuers of `OpenID` Connect tokens over HTTP: discovery, the device authorization grant, renewal,
//! and the exchange for the token that AWS takes. Here because the HTTP client is.
//!
//! 1. One request for each call, within [`DEADLINE`]; answers are read up to 1 MiB, redirects are
//!    not followed.
//! 2. Tokens are sent to `https` URLs only (or to this machine), also where the discovery document
//!    names them.
//! 3. Instants of an issuer are told by our clock, by way of the `Date` of its answer; that is believed
//!    of nothing else.
//! 4. Errors repeat code and description of the issuer in one bounded line, without what was sent.

mod answers;
mod github;
mod request;
mod ssh;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tokio::time::timeout;

use self::answers::{Body, Discovery};
use super::detail::{Signer, innermost, sanitised};
use super::http::{capped_connector, https_connector};
use crate::broker::BoxFuture;
use crate::clock::Clock;
use crate::identity::{
    DeviceGrant, GivenCertificate, GivenToken, IdToken, Issuer, IssuerError, PollAnswer, Tokens,
};
use crate::model::{GithubGrant, OidcIdentity, Secret, ServiceUrl, SshGrant, SshKey};

/// The longest time from a request to the end of its answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Below the issuer (`OpenID` Connect Discovery 1.0, section 4).
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The `grant_type` of a poll (RFC 8628, section 3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The client for all issuers.
pub struct OidcClient {
    clock: Arc<dyn Clock>,
    connector: OnceLock<SharedHttpConnector>,
}

impl fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcClient").finish_non_exhaustive()
    }
}

impl OidcClient {
    /// A client that tells instants by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, connector: OnceLock::default() }
    }

    /// The same over another transport than HTTPS, for those who want to choose the answers.
    pub fn with_transport(clock: Arc<dyn Clock>, transport: SharedHttpConnector) -> Self {
        Self { clock, connector: OnceLock::from(capped_connector(transport)) }
    }

    /// Sends `request`, which carries `secret`.
    async fn send<'a>(
        &self,
        url: &'a ServiceUrl,
        request: HttpRequest,
        secret: Option<&'a Secret>,
    ) -> Result<Body<'a>, IssuerError> {
        let unreachable = |why: &str| {
            IssuerError::Unreachable(sanitised(&format!("{url}: {why}"), signer(secret)))
        };
        let connector = self.connector.get_or_init(https_connector);
        let answer = timeout(DEADLINE, connector.call(request)).await;
        let answer = answer.map_err(|_| unreachable("no answer within the time limit"))?;
        let answer = answer.map_err(|error| unreachable(&innermost(&error)))?;
        Ok(Body::new(url, &answer, secret)?.received(self.clock.now()))
    }

    async fn discover(&self, identity: &OidcIdentity) -> Result<Discovery, IssuerError> {
        let url = identity.issuer.join(DISCOVERY_PATH);
        let body = self.send(&url, request::get(&url, None), None).await?;
        Discovery::of(&identity.issuer, &body)
    }
}

impl Issuer for OidcClient {
    fn begin<'a>(
        &'a self,
        identity: &'a OidcIdentity,
    ) -> BoxFuture<'a, Result<DeviceGrant, IssuerError>> {
        Box::pin(async move {
            let Discovery { device_endpoint, token_endpoint } = self.discover(identity).await?;
            let url = device_endpoint.ok_or_else(|| {
                let issuer = &identity.issuer;
                IssuerError::Unusable(format!("{issuer} has no device_authorization_endpoint"))
            })?;
            let mut form = vec![("client_id", &*identity.client_id), ("scope", &identity.scope)];
            form.extend(identity.audience.as_ref().map(|audience| ("audience", &**audience)));
            let body = self.send(&url, request::post(&url, &form), None).await?;
            body.device_grant(token_endpoint)
        })
    }

    fn poll<'a>(
        &'a self,
        identity: &'a OidcIdentity,
        grant: &'a DeviceGrant,
    ) -> BoxFuture<'a, Result<PollAnswer, IssuerError>> {
        Box::pin(async move {
            let (url, code) = (&grant.token_endpoint, &grant.device_code);
            let form = [
                ("grant_type", DEVICE_GRANT),
                ("device_code", code.expose()),
                ("client_id", &identity.client_id),
            ];
            let body = self.send(url, request::post(url, &form), Some(code)).await?;
            body.poll_answer()
        })
    }

    fn refresh<'a>(
        &'a self,
        identity: &'a OidcIdentity,
        refresh: &'a Secret,
    ) -> BoxFuture<'a, Result<Tokens, IssuerError>> {
        Box::pin(async move {
            let url = self.discover(identity).await?.token_endpoint;
            let form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh.expose()),
                ("client_id", &identity.client_id),
            ];
            let body = self.send(&url, request::post(&url, &form), Some(refresh)).await?;
            body.refreshed()
        })
    }

    fn token_for_aws<'a>(
        &'a self,
        url: &'a ServiceUrl,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<IdToken, IssuerError>> {
        Box::pin(async move {
            let body = self.send(url, request::get(url, Some(access)), Some(access)).await?;
            body.token_for_aws()
        })
    }

    fn github_token<'a>(
        &'a self,
        grant: &'a GithubGrant,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<GivenToken, IssuerError>> {
        Box::pin(async move {
            let url = &grant.token_url;
            let request = github::request(grant, access);
            github::token(&self.send(url, request, Some(access)).await?)
        })
    }

    fn ssh_certificate<'a>(
        &'a self,
        grant: &'a SshGrant,
        key: &'a SshKey,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<GivenCertificate, IssuerError>> {
        Box::pin(async move {
            let url = &grant.certificate_url;
            let request = ssh::request(grant, key, access);
            ssh::certificate(&self.send(url, request, Some(access)).await?, key)
        })
    }

    fn hash(&self, token: &Secret) -> String {
        github::hash(token)
    }
}

fn signer(secret: Option<&Secret>) -> Signer<'_> {
    secret.map_or(Signer::Nobody, Signer::Token)
}
