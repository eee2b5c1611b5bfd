//! What goes out.
//!
//! A role without keys is answered 403 where somebody has to change something, and 503 where it may
//! pass by itself. Measured with each: boto3 1.44 and the AWS CLI fail with the reason after three
//! attempts and 5 s; Rust (aws-config 1.13) ends its chain with the status, at once for 403 and after
//! three attempts for 503; JavaScript v3 (3.1169) fails after four and a fifth without the token, and
//! tells no reason. None of them goes on to the role of the machine.
//!
//! An answer 200 that says why there are no keys, which the reference guide allows, would be shown by
//! Rust, but boto3 fails in it with a mere `KeyError` (botocore, `ContainerProvider`).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::guard::Refusal;
use crate::broker::RetryClass;
use crate::render::Text;

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// The keys. Their text is overwritten when it is sent.
pub(super) fn keys(text: Text) -> Answer {
    answer(StatusCode::OK, Bytes::from_owner(Wiped(text)))
}

/// Why a role has no keys.
pub(super) fn failing(reason: &str, retry: RetryClass) -> Answer {
    let status = match retry {
        RetryClass::Permanent => StatusCode::FORBIDDEN,
        RetryClass::Transient => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = error(status, "NoCredentials", reason);
    if retry == RetryClass::Transient {
        answer.headers_mut().insert(RETRY_AFTER, SOON);
    }
    answer
}

/// Why a request is refused.
pub(super) fn refusal(refusal: Refusal) -> Answer {
    let mut answer = error(refusal.status(), refusal.code(), refusal.message());
    match refusal {
        Refusal::Limited => answer.headers_mut().insert(RETRY_AFTER, SOON),
        // RFC 9110, section 11.6.1: it has to be there.
        Refusal::Token => answer.headers_mut().insert(WWW_AUTHENTICATE, SCHEME),
        _ => None,
    };
    answer
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({ "code": code, "message": message }).to_string();
    answer(status, Bytes::from(body))
}

fn answer(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A text that is overwritten with the last use of its bytes.
struct Wiped(Text);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Seconds after which it is worth asking again.
const SOON: HeaderValue = HeaderValue::from_static("1");

/// The token stands in the header alone, so there is no scheme; this one says whose it is.
const SCHEME: HeaderValue = HeaderValue::from_static("credmount");
