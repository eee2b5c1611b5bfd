//! What answers of STS tell about the time: an HTTP client that hears their `Date`, and the time
//! that the SDK signs with. Must not know what the calls are for.

use std::sync::Arc;
use std::time::SystemTime;

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::classify::cause_of_answer;
use super::http_date::http_date;
use crate::broker::Cause;
use crate::clock::{Clock, CorrectedClock, DateHeard, Reading};

/// `inner`, with `clock` told the date of each answer of STS. A clock that cannot be told is not.
pub(super) fn timed(inner: SharedHttpClient, clock: Arc<dyn Clock>) -> SharedHttpClient {
    SharedHttpClient::new(TimedClient { inner, clock })
}

/// The time by our clock, for the SDK.
#[derive(Debug)]
pub(super) struct SdkTime(pub(super) Arc<dyn Clock>);

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

#[derive(Debug)]
struct TimedClient {
    inner: SharedHttpClient,
    clock: Arc<dyn Clock>,
}

impl HttpClient for TimedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(TimedConnector { inner, clock: self.clock.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct TimedConnector {
    inner: SharedHttpConnector,
    clock: Arc<dyn Clock>,
}

impl HttpConnector for TimedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let clock = self.clock.clone();
        let signed = signed_at(&request).zip(clock.corrected().map(CorrectedClock::read));
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if let (Some(clock), Some((signed, sent))) = (clock.corrected(), signed) {
                hear(clock, &answer, signed, sent);
            }
            Ok(answer)
        })
    }
}

/// The time in the signature of a request to STS. The date of an answer to anything else proves
/// nothing.
fn signed_at(request: &HttpRequest) -> Option<SystemTime> {
    let headers = request.headers();
    headers.get("authorization").filter(|it| it.contains("/sts/aws4_request"))?;
    let date = headers.get("x-amz-date")?;
    // ISO 8601 without separators: 20261122T022600Z.
    let part = |range| date.get(range);
    let [year, month, day] = [part(0..4)?, part(4..6)?, part(6..8)?];
    let [hour, minute, second] = [part(9..11)?, part(11..13)?, part(13..15)?];
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    DateTime::from_str(&text, Format::DateTime).ok()?.try_into().ok()
}

/// Tells the clock the date of an answer, if STS itself has made that answer for this request.
fn hear(clock: &CorrectedClock, answer: &HttpResponse, signed: SystemTime, sent: Reading) {
    let headers = answer.headers();
    // A cache says by `Age` that an answer is an old one (RFC 9111, section 5.1).
    let is_of_sts = headers.get("x-amzn-requestid").is_some() && headers.get("age").is_none();
    let date = headers.get("date").filter(|_| is_of_sts).and_then(http_date);
    let Some(date) = date else { return };
    let refused = is_refused_for_its_time(answer);
    let Some(skew) = clock.hear(&DateHeard { date, signed, sent, refused }) else { return };
    if skew.is_notable() {
        tracing::warn!(
            skew_seconds = skew.seconds(),
            "the clock of this machine is {skew}, so sessions are judged by the time of AWS; set \
             it right (timedatectl set-ntp true)"
        );
    } else {
        tracing::info!(skew_seconds = skew.seconds(), "the clock of this machine is right again");
    }
}

fn is_refused_for_its_time(answer: &HttpResponse) -> bool {
    let status = answer.status().as_u16();
    let body = answer.body().bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let body = body.unwrap_or_default();
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(text, _)| text)
    };
    status >= 400
        && element("Code").is_some_and(|code| {
            let message = element("Message").unwrap_or_default();
            cause_of_answer(status, code, message) == Cause::ClockSkew
        })
}

#[cfg(test)]
mod tests;
