//! The one HTTP client of the process: rustls with ring, proxies from the environment, and limits on
//! the size of an answer and the time for it. Must not know what the requests mean.

use std::net::IpAddr;
use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::timeout::TimeoutConfig;

/// The largest answer that is read, in bytes. An answer with credentials is a few KiB.
pub(super) const ANSWER_LIMIT: usize = 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// One call of a source of base credentials, with all attempts of the SDK and its pauses.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(25);

/// The times that calls of the SDK may take.
pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// An answer above [`ANSWER_LIMIT`].
#[derive(Debug, thiserror::Error)]
#[error("the answer is larger than {ANSWER_LIMIT} bytes")]
pub(super) struct AnswerTooLarge;

/// The client for real use. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
pub(super) fn https_client() -> SharedHttpClient {
    SharedHttpClient::new(CappedClient {
        proxied: with_proxies(ProxyConfig::from_env()),
        direct: with_proxies(ProxyConfig::disabled()),
    })
}

/// The same for requests that are none of the SDK's; slow to make, since it loads the root
/// certificates. Each request has a connection of its own: there are few, and one over HTTP/2 that has
/// died in a suspend or a change of networks would be used again and again, since nobody but the SDK
/// tells the pool that it answers no more.
pub(super) fn https_connector() -> SharedHttpConnector {
    let connector = |proxies| {
        let connector = Connector::builder().proxy_config(proxies).pool_max_idle_per_host(0);
        SharedHttpConnector::new(connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build())
    };
    SharedHttpConnector::new(CappedConnector {
        proxied: connector(ProxyConfig::from_env()),
        direct: connector(ProxyConfig::disabled()),
    })
}

/// The same over another transport.
pub(super) fn capped_connector(inner: SharedHttpConnector) -> SharedHttpConnector {
    SharedHttpConnector::new(CappedConnector { proxied: inner.clone(), direct: inner })
}

/// `inner` with the cap on answers.
pub(super) fn capped(inner: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(CappedClient { proxied: inner.clone(), direct: inner })
}

fn with_proxies(proxies: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxies.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}

/// Reads every answer to its end, but no further than [`ANSWER_LIMIT`]. The read is part of the
/// call, so the attempt timeout of the SDK bounds it too.
#[derive(Debug)]
struct CappedClient {
    proxied: SharedHttpClient,
    direct: SharedHttpClient,
}

impl HttpClient for CappedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(CappedConnector {
            proxied: self.proxied.http_connector(settings, components),
            direct: self.direct.http_connector(settings, components),
        })
    }

    // `validate_base_client_config` stays the default: the inner one loads all root certificates
    // once more for each SDK client, and we build one client per call.

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.proxied.connector_metadata()
    }
}

#[derive(Debug)]
struct CappedConnector {
    proxied: SharedHttpConnector,
    direct: SharedHttpConnector,
}

impl HttpConnector for CappedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = if is_local(request.uri()) { &self.direct } else { &self.proxied };
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move { read_capped(answer.await?).await })
    }
}

/// Whether `uri` names this machine or its metadata service, which no proxy can reach.
fn is_local(uri: &str) -> bool {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_link_local(),
        // fd00:ec2::254 is the metadata service, fd00:ec2::23 EKS Pod Identity.
        Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6.segments()[..2] == [0xfd00, 0x0ec2],
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

async fn read_capped(mut response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let too_large = || ConnectorError::other(Box::new(AnswerTooLarge), None);
    let mut stream = ByteStream::new(response.take_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| ConnectorError::io(error.into()))?;
        if bytes.len() + chunk.len() > ANSWER_LIMIT {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    *response.body_mut() = SdkBody::from(bytes);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn no_request_to_an_issuer_depends_on_the_connection_of_one_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        // Answers the first request of each connection, keeps it open, and is silent from then on.
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await.unwrap();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
                open.push(stream);
            }
            open
        });
        let connector = https_connector();
        for _ in 0..2 {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri(url.as_str()).unwrap();
            let answer = timeout(Duration::from_mins(1), connector.call(request)).await;
            let answer = answer.expect("another connection").unwrap();
            assert_eq!(answer.body().bytes().unwrap(), b"{}");
        }
        drop(server.await.unwrap());
    }

    #[test]
    fn the_metadata_service_and_this_machine_bypass_the_proxy() {
        for uri in [
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest",
            "http://127.0.0.1:8080/",
            "http://localhost:4566",
            "http://[::1]:9",
        ] {
            assert!(is_local(uri), "{uri}");
        }
    }

    #[test]
    fn sts_uses_the_proxy() {
        for uri in
            ["https://sts.eu-west-1.amazonaws.com/", "http://10.0.0.7:80/", "http://[fd00::1]/"]
        {
            assert!(!is_local(uri), "{uri}");
        }
    }
}
