//! Which signatures are refused, and how.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningInstructions, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use crate::emulator::{Emulator, Fault};
use crate::support::*;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Signs by hand, so that each part can be wrong.
pub(crate) struct Signing {
    endpoint: String,
    credentials: Credentials,
    pub(crate) location: SignatureLocation,
    region: &'static str,
    service: &'static str,
    time: SystemTime,
}

impl Signing {
    pub(crate) fn new(sts: &Emulator, credentials: Credentials) -> Self {
        Self {
            endpoint: sts.endpoint(),
            credentials,
            location: SignatureLocation::Headers,
            region: "us-east-1",
            service: "sts",
            time: machine_time(),
        }
    }

    /// `target` with the parameters of the signature.
    pub(crate) fn presigned(&self, method: &str, target: &str) -> String {
        let (_, params) = self.sign(method, target, "").into_parts();
        params.into_iter().fold(target.to_owned(), |target, (name, value)| {
            let pair =
                form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
            format!("{target}&{pair}")
        })
    }

    /// Signs `signed` but sends `sent`; status and body of the answer.
    fn post(&self, sts: &Emulator, signed: &str, sent: &str) -> (u16, String) {
        let instructions = self.sign("POST", "/", signed);
        let headers: Vec<_> = instructions.headers().collect();
        let answer = plain(sts, "POST", "/", &headers, sent);
        (answer.status, answer.body)
    }

    fn sign(&self, method: &str, target: &str, body: &str) -> SigningInstructions {
        let mut settings = SigningSettings::default();
        settings.signature_location = self.location;
        settings.expires_in = Some(Duration::from_mins(1));
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(settings)
            .build()
            .expect("all parts")
            .into();
        let uri = format!("{}{target}", self.endpoint);
        let body = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new(method, uri, std::iter::empty(), body).expect("a URI");
        sign(request, &params).expect("a signature").into_parts().0
    }
}

async fn refused_identity(sts: &Emulator, credentials: Credentials) -> (u16, String, String) {
    refusal(client(sts, credentials).get_caller_identity().send().await)
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let sts = start();
    let wrong = keys(sts.base_access_key_id(), "wrong", None);
    let (status, code, message) = refused_identity(&sts, wrong).await;
    assert_eq!((status, code.as_str()), (403, "SignatureDoesNotMatch"));
    assert!(message.starts_with("The request signature we calculated does not match"));
    assert_eq!(last_call(&sts).result.as_deref(), Some("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    let sts = start();
    let unknown = keys("AKIAIOSFODNN7EXAMPLE", sts.base_secret_access_key(), None);
    let (status, code, _) = refused_identity(&sts, unknown).await;
    assert_eq!((status, code.as_str()), (403, "InvalidClientTokenId"));
}

#[tokio::test]
async fn a_session_token_belongs_to_its_key() {
    let sts = start();
    let (first, second) = (prod_session(&sts).await, prod_session(&sts).await);
    let (id, secret) = (first.access_key_id(), first.secret_access_key());
    let mixed = keys(id, secret, second.session_token());
    let none = keys(id, secret, None);
    let base_id = sts.base_access_key_id();
    let needless = keys(base_id, sts.base_secret_access_key(), first.session_token());
    for credentials in [mixed, none, needless] {
        let (status, code, _) = refused_identity(&sts, credentials).await;
        assert_eq!((status, code.as_str()), (403, "InvalidClientTokenId"));
    }
}

#[tokio::test]
async fn a_session_ends_at_the_expiration_it_was_issued_with() {
    let sts = start();
    sts.set_session_lifetime(Some(Duration::from_mins(1)));
    let answer = assume_prod(&base_client(&sts)).duration_seconds(3600).send().await;
    let answer = answer.expect("a session");
    let credentials = answer.credentials().expect("credentials");
    let expiration = SystemTime::try_from(*credentials.expiration()).expect("an instant");
    assert_eq!(expiration, sts.issued_sessions()[0].expiration);
    let left = expiration.duration_since(machine_time()).expect("a moment ahead");
    assert!((Duration::from_secs(50)..=Duration::from_mins(1)).contains(&left), "{left:?}");

    let session = session_keys(credentials);
    sts.set_clock_offset(30);
    identity(&client(&sts, session.clone())).await;
    sts.set_clock_offset(60);
    let (status, code, _) = refused_identity(&sts, session).await;
    assert_eq!((status, code.as_str()), (403, "ExpiredToken"));
}

#[tokio::test]
async fn a_session_can_be_issued_expired() {
    let sts = start();
    sts.set_fault(Fault::ExpiredSession);
    let session = prod_session(&sts).await;
    assert!(sts.issued_sessions()[0].expiration < machine_time());
    let (_, code, _) = refused_identity(&sts, session).await;
    assert_eq!(code, "ExpiredToken");
}

#[tokio::test]
async fn a_clock_more_than_five_minutes_off_is_told_from_a_wrong_secret() {
    let sts = start();
    for (offset, start) in [(310, "Signature expired: "), (-310, "Signature not yet current: ")] {
        sts.set_clock_offset(offset);
        let (status, code, message) = refused_identity(&sts, base_keys(&sts)).await;
        assert_eq!((status, code.as_str()), (403, "SignatureDoesNotMatch"));
        assert!(message.starts_with(start), "{message}");
        assert!(message.ends_with("5 min.)"), "{message}");
    }
    for offset in [290, -290] {
        sts.set_clock_offset(offset);
        identity(&base_client(&sts)).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_off_shows_in_dates_and_expirations() {
    let sts = start();
    sts.set_clock_offset(-200);
    prod_session(&sts).await;
    let expected = machine_time() + Duration::from_secs(3600 - 200);
    let expiration = sts.issued_sessions()[0].expiration;
    let apart = expected.duration_since(expiration).expect("issued before now");
    assert!(apart < Duration::from_secs(30), "{apart:?}");

    sts.set_clock_offset(-400_000_000);
    let head = plain(&sts, "POST", "/", &[], BODY).head;
    let date = head.lines().find(|line| line.starts_with("date: ")).expect("a date");
    assert!(date.contains("201"), "{date}");
}

#[tokio::test]
async fn a_presigned_url_ends_after_the_time_it_asked_for() {
    let sts = start();
    let mut signing = Signing::new(&sts, base_keys(&sts));
    signing.location = SignatureLocation::QueryParams;
    let target = signing.presigned("GET", &format!("/?{BODY}"));
    assert_eq!(plain(&sts, "GET", &target, &[], "").status, 200);
    sts.set_clock_offset(65);
    let answer = plain(&sts, "GET", &target, &[], "");
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("Signature expired"), "{}", answer.body);
}

#[test]
fn a_request_altered_after_signing_is_refused() {
    let sts = start();
    let signing = Signing::new(&sts, base_keys(&sts));
    assert_eq!(signing.post(&sts, BODY, BODY).0, 200);
    let (status, body) = signing.post(&sts, BODY, &format!("{BODY}&Extra=1"));
    assert_eq!(status, 403);
    assert!(body.contains("<Code>SignatureDoesNotMatch</Code>"), "{body}");
}

#[test]
fn the_credential_scope_must_be_right() {
    let sts = start();
    let check = |expected: &str, change: fn(&mut Signing)| {
        let mut signing = Signing::new(&sts, base_keys(&sts));
        change(&mut signing);
        let (status, body) = signing.post(&sts, BODY, BODY);
        assert_eq!(status, 403, "{body}");
        assert!(body.contains(expected), "{body}");
    };
    check("correct service: 'sts'", |signing| signing.service = "s3");
    check("a valid region", |signing| signing.region = "moon");
    check("Signature expired", |signing| signing.time -= Duration::from_hours(24));
}

#[test]
fn a_request_without_or_with_half_a_signature_is_told_so() {
    let sts = start();
    let check = |headers: &[(&str, &str)], status: u16, code: &str| {
        let answer = plain(&sts, "POST", "/", headers, BODY);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(&format!("<Code>{code}</Code>")), "{}", answer.body);
        assert!(answer.body.contains("<Type>Sender</Type>"), "{}", answer.body);
        assert!(answer.head.contains("x-amzn-requestid: "), "{}", answer.head);
    };
    check(&[], 403, "MissingAuthenticationToken");
    let date = ("x-amz-date", "20261122T022600Z");
    check(&[("authorization", "Basic abc"), date], 400, "IncompleteSignature");
    let no_scope = "AWS4-HMAC-SHA256 Credential=AKIA, SignedHeaders=host, Signature=00";
    check(&[("authorization", no_scope), date], 400, "IncompleteSignature");
    let complete = "AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/sts/aws4_request, \
                    SignedHeaders=host, Signature=00";
    check(&[("authorization", complete)], 400, "IncompleteSignature");
    let no_date = ("x-amz-date", "yesterday");
    check(&[("authorization", complete), no_date], 400, "IncompleteSignature");
}

#[tokio::test]
async fn the_date_and_the_session_token_must_be_signed() {
    let sts = start();
    let signing = Signing::new(&sts, prod_session(&sts).await);
    let instructions = signing.sign("POST", "/", BODY);
    for name in ["x-amz-date", "x-amz-security-token"] {
        let headers: Vec<(&str, String)> = instructions
            .headers()
            .map(|(header, value)| (header, value.replace(&format!(";{name}"), "")))
            .collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = plain(&sts, "POST", "/", &headers, BODY);
        let expected = format!("'{name}' must be a 'SignedHeader'");
        assert!(answer.body.contains(&expected), "{}", answer.body);
    }
}
