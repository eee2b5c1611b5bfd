//! Clients for the tests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{BehaviorVersion, Config, Region};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::Credentials as StsCredentials;

use crate::emulator::{CallRecord, Emulator};

pub(crate) const PROD: &str = "arn:aws:iam::210987654321:role/team/prod";

pub(crate) fn start() -> Emulator {
    Emulator::start().expect("a free port")
}

/// The base keys of `emulator`.
pub(crate) fn base_keys(emulator: &Emulator) -> Credentials {
    keys(emulator.base_access_key_id(), emulator.base_secret_access_key(), None)
}

pub(crate) fn keys(id: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials::new(id, secret, token.map(str::to_owned), None, "test")
}

/// The keys that an action answered.
pub(crate) fn session_keys(answered: &StsCredentials) -> Credentials {
    let token = answered.session_token();
    keys(answered.access_key_id(), answered.secret_access_key(), Some(token))
}

/// A client without retries, so that each call is one request.
pub(crate) fn client(emulator: &Emulator, credentials: Credentials) -> Client {
    client_in("eu-west-1", emulator, credentials)
}

pub(crate) fn client_in(region: &str, emulator: &Emulator, credentials: Credentials) -> Client {
    let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new(region.to_owned()))
        .endpoint_url(emulator.endpoint())
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

/// A client with the base keys.
pub(crate) fn base_client(emulator: &Emulator) -> Client {
    client(emulator, base_keys(emulator))
}

/// The call that most tests are about.
pub(crate) fn assume_prod(client: &Client) -> AssumeRoleFluentBuilder {
    client.assume_role().role_arn(PROD).role_session_name("tests")
}

/// A session of [`PROD`].
pub(crate) async fn prod_session(emulator: &Emulator) -> Credentials {
    let answer = assume_prod(&base_client(emulator)).send().await.expect("a session");
    session_keys(answer.credentials().expect("credentials"))
}

/// The ARN of a client's identity.
pub(crate) async fn identity(client: &Client) -> String {
    let answer = client.get_caller_identity().send().await.expect("an identity");
    answer.arn().expect("an ARN").to_owned()
}

/// HTTP status, error code and message of a refused call.
pub(crate) fn refusal<T, E>(outcome: Result<T, SdkError<E>>) -> (u16, String, String)
where
    T: std::fmt::Debug,
    E: ProvideErrorMetadata,
    SdkError<E>: std::fmt::Debug,
{
    let error = outcome.expect_err("the call should be refused");
    let status = error.raw_response().expect("an answer").status().as_u16();
    let code = error.code().unwrap_or_default().to_owned();
    (status, code, error.message().unwrap_or_default().to_owned())
}

/// Status and code of a refused call of which the message does not matter.
pub(crate) fn refusal_code<T, E>(outcome: Result<T, SdkError<E>>) -> (u16, String)
where
    T: std::fmt::Debug,
    E: ProvideErrorMetadata,
    SdkError<E>: std::fmt::Debug,
{
    let (status, code, _message) = refusal(outcome);
    (status, code)
}

/// The last call recorded.
pub(crate) fn last_call(emulator: &Emulator) -> CallRecord {
    emulator.calls().pop().expect("a call")
}

/// An answer to plain HTTP.
#[derive(Debug)]
pub(crate) struct PlainAnswer {
    pub(crate) status: u16,
    /// Status line and headers, as sent.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends one request and reads until the server closes.
pub(crate) fn plain(
    emulator: &Emulator,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> PlainAnswer {
    let address = emulator.address();
    let length = body.len();
    let mut lines = vec![format!("{method} {target} HTTP/1.1"), format!("host: {address}")];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.extend(["connection: close".to_owned(), format!("content-length: {length}")]);
    let request = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    PlainAnswer { status: status.expect("a status"), head: head.to_owned(), body: body.to_owned() }
}

/// The wall clock of the machine.
#[expect(clippy::disallowed_methods, reason = "what a client signs with")]
pub(crate) fn machine_time() -> SystemTime {
    SystemTime::now()
}
