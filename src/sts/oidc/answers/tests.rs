//! Answers of issuers, right and wrong.

use aws_smithy_types::body::SdkBody;

use super::*;

fn url() -> ServiceUrl {
    ServiceUrl::parse("https://a.example/x").unwrap()
}

fn with<T>(status: u16, body: &str, then: impl FnOnce(Result<Body<'_>, IssuerError>) -> T) -> T {
    let (url, secret) = (url(), Secret::new("sent-secret"));
    let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    then(Body::new(&url, &answer, Some(&secret)))
}

fn discovered(body: &str) -> Result<Discovery, IssuerError> {
    let issuer = ServiceUrl::parse("https://a.example").unwrap();
    with(200, body, |body| Discovery::of(&issuer, &body?))
}

#[test]
fn a_discovery_document_is_of_the_issuer_and_names_https_only() {
    let document = |issuer: &str, token: &str| {
        format!(
            r#"{{"issuer":"{issuer}","token_endpoint":"{token}","device_authorization_endpoint":"https://a.example/d","jwks_uri":"x"}}"#
        )
    };
    let found = discovered(&document("https://a.example/", "https://b.example/t")).unwrap();
    assert_eq!(found.token_endpoint.as_str(), "https://b.example/t");
    assert_eq!(found.device_endpoint.unwrap().as_str(), "https://a.example/d");
    for wrong in [
        document("https://evil.example", "https://a.example/t"),
        document("https://a.example", "http://a.example/t"),
        "{}".to_owned(),
        "<html>".to_owned(),
    ] {
        let error = discovered(&wrong).unwrap_err();
        assert!(matches!(error, IssuerError::Unusable(_)), "{error:?}");
    }
}

#[test]
fn a_device_grant_can_be_shown_and_is_bounded() {
    let grant = |code: &str, uri: &str| {
        let body = format!(
            r#"{{"device_code":"d","user_code":"{code}","verification_uri":"{uri}","expires_in":99999999}}"#
        );
        with(200, &body, |body| body?.device_grant(url()))
    };
    let found = grant("ABCD-EFGH", "https://a.example/device").unwrap();
    assert_eq!(found.interval, Duration::from_secs(5));
    assert_eq!(found.lifetime, Duration::from_hours(1));
    for (code, uri) in [
        ("", "https://a.example/device"),
        ("\\u001b[2J", "https://a.example/device"),
        ("ABCD", "file:///etc/passwd"),
        ("ABCD", "http://a.example/device"),
    ] {
        assert!(grant(code, uri).is_err(), "{code} {uri}");
    }
}

#[test]
fn each_answer_to_a_poll_is_understood() {
    let poll = |status, body: &str| with(status, body, |body| body?.poll_answer());
    let error = |code: &str| format!(r#"{{"error":"{code}","error_description":"words"}}"#);
    assert!(matches!(poll(400, &error("authorization_pending")), Ok(PollAnswer::Pending)));
    assert!(matches!(poll(400, &error("slow_down")), Ok(PollAnswer::SlowDown)));
    assert!(matches!(poll(400, &error("access_denied")), Ok(PollAnswer::Denied)));
    assert!(matches!(poll(400, &error("expired_token")), Ok(PollAnswer::Expired)));
    assert!(matches!(poll(503, ""), Err(IssuerError::Unreachable(_))));
    assert!(matches!(poll(429, ""), Err(IssuerError::Unreachable(_))));
    assert!(matches!(poll(302, ""), Err(IssuerError::Unusable(_))));
    let without_words = r#"{"error":"authorization_pending","error_description":null}"#;
    assert!(matches!(poll(400, without_words), Ok(PollAnswer::Pending)));
    for no_header in ["", "a b", r"a\nb", "ä"] {
        let error = poll(200, &format!(r#"{{"access_token":"{no_header}"}}"#)).unwrap_err();
        assert!(matches!(error, IssuerError::Unusable(_)), "{no_header}");
    }
    let told = poll(400, &error("invalid_client")).unwrap_err().to_string();
    assert_eq!(told, "https://a.example/x: HTTP status 400, invalid_client, words");
    let granted = poll(200, r#"{"access_token":"a","expires_in":60,"refresh_token":"r"}"#);
    let Ok(PollAnswer::Granted(tokens)) = granted else { panic!("{granted:?}") };
    assert_eq!(tokens.access.expose(), "a");
    assert_eq!(tokens.lifetime, Some(Duration::from_mins(1)));
    assert_eq!(tokens.refresh.unwrap().expose(), "r");
}

#[test]
fn trouble_that_says_when_it_will_be_over_is_told_with_it() {
    let (url, now) = (url(), SystemTime::UNIX_EPOCH);
    for (status, header, wait) in [
        (503, "120", Some(120)),
        (429, "Thu, 01 Jan 1970 00:01:30 GMT", Some(90)),
        (429, "soon", None),
        (400, "120", None),
    ] {
        let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        answer.headers_mut().insert("retry-after", header);
        answer.headers_mut().insert("date", "Thu, 01 Jan 1970 00:00:00 GMT");
        let told = Body::new(&url, &answer, None).map(|body| body.received(now));
        let asked = match told {
            Err(IssuerError::Later(_, wait)) => Some(wait.as_secs()),
            Err(IssuerError::Unreachable(_)) | Ok(_) => None,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(asked, wait, "{status} {header}");
    }
    let later = IssuerError::Later("HTTP status 429".to_owned(), Duration::from_secs(90));
    assert_eq!(later.to_string(), "HTTP status 429; it wants to be asked again in 1m 30s");
}

#[test]
fn instants_of_an_issuer_are_told_by_our_clock() {
    let url = url();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let told = |headers: &[(&'static str, &'static str)], ours: u64| {
        let mut answer = HttpResponse::new(200.try_into().unwrap(), SdkBody::empty());
        for (name, value) in headers {
            answer.headers_mut().insert(*name, *value);
        }
        let body = Body::new(&url, &answer, None).unwrap().received(at(ours));
        [7200, 1800].map(|instant| body.by_our_clock(at(instant)))
    };
    let date = ("date", "Thu, 01 Jan 1970 01:00:00 GMT");
    assert_eq!(told(&[date], 3600), [at(7200), at(1800)], "both clocks agree");
    assert_eq!(told(&[date], 1_003_600), [at(1_007_200), at(1_001_800)]);
    assert_eq!(told(&[date], 60), [at(3660), at(0) - Duration::from_mins(29)]);
    assert_eq!(told(&[], 60), [at(7200), at(1800)], "it does not tell its time");
    assert_eq!(told(&[date, ("age", "3")], 60), [at(7200), at(1800)], "a cache has kept it");
}

#[test]
fn a_refresh_token_is_refused_for_good_by_invalid_grant_only() {
    let refreshed = |status, body: &str| with(status, body, |body| body?.refreshed());
    let refused = refreshed(400, r#"{"error":"invalid_grant"}"#).unwrap_err();
    assert!(matches!(refused, IssuerError::TokenRefused(_)), "{refused:?}");
    let wrong = refreshed(400, r#"{"error":"invalid_request"}"#).unwrap_err();
    assert!(matches!(wrong, IssuerError::Unusable(_)), "{wrong:?}");
}

#[test]
fn the_token_for_aws_is_id_token_or_token() {
    let token = |status, body: &str| with(status, body, |body| body?.token_for_aws());
    assert_eq!(token(200, r#"{"id_token":"i","token":"t"}"#).unwrap().token.expose(), "i");
    assert_eq!(token(200, r#"{"token":"t"}"#).unwrap().token.expose(), "t");
    assert!(matches!(token(200, r#"{"jwt":"t"}"#), Err(IssuerError::Unusable(_))));
    assert!(matches!(token(401, ""), Err(IssuerError::TokenRefused(_))));
    assert!(matches!(token(403, ""), Err(IssuerError::Unusable(_))));
}

#[test]
fn what_was_sent_is_not_repeated() {
    let body = r#"{"error":"invalid_token","error_description":"got sent-secret"}"#;
    let told = with(400, body, |body| body.unwrap().refusal().to_string());
    assert!(told.ends_with("invalid_token, got [redacted]"), "{told}");
}

#[test]
fn the_end_of_a_token_is_its_claim_exp() {
    let jwt = |claims: &str| {
        let part = base64::encode(claims).replace('+', "-").replace('/', "_").replace('=', "");
        format!("e30.{part}.c2ln")
    };
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(end_of(&jwt(r#"{"exp":1795314438,"sub":"ü?>"}"#)), at(1_795_314_438));
    for token in ["", "a.b.c", &jwt(r#"{"exp":-1}"#), &jwt(r#"{"exp":1e300}"#), &jwt("{}")] {
        assert_eq!(end_of(token), None, "{token}");
    }
}
