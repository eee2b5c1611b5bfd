//! The requests: forms and bearer tokens. Must not know what they are for.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use zeroize::Zeroizing;

use crate::model::{Secret, ServiceUrl};

/// `GET url`, with a bearer token (RFC 6750, section 2.1).
pub(super) fn get(url: &ServiceUrl, bearer: Option<&Secret>) -> HttpRequest {
    let mut request = to(url, "GET", SdkBody::empty());
    if let Some(token) = bearer {
        request.headers_mut().insert("authorization", format!("Bearer {}", token.expose()));
    }
    request
}

/// `POST url` with JSON, which holds nothing secret, and a bearer token.
pub(super) fn post_json(url: &ServiceUrl, json: String, bearer: &Secret) -> HttpRequest {
    let length = json.len().to_string();
    let mut request = to(url, "POST", SdkBody::from(json));
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {}", bearer.expose()));
    headers.insert("content-type", "application/json");
    headers.insert("content-length", length);
    request
}

/// `POST url` with a form (RFC 6749, appendix B).
pub(super) fn post(url: &ServiceUrl, form: &[(&'static str, &str)]) -> HttpRequest {
    let capacity = form.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    // Of its final size from the start, so that growing leaves no copies.
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    for (name, value) in form {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        encode(value, &mut text);
    }
    let mut request = to(url, "POST", SdkBody::from(text.as_bytes()));
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded");
    headers.insert("content-length", text.len().to_string());
    request
}

#[expect(
    clippy::expect_used,
    reason = "a `ServiceUrl` is a legal URI and the method is a constant"
)]
fn to(url: &ServiceUrl, method: &'static str, body: SdkBody) -> HttpRequest {
    let mut request = HttpRequest::new(body);
    request.set_method(method).expect("a legal method");
    request.set_uri(url.as_str()).expect("a legal URI");
    let headers = request.headers_mut();
    headers.insert("accept", "application/json");
    headers.insert("user-agent", concat!("credmount/", env!("CARGO_PKG_VERSION")));
    request
}

fn encode(value: &str, text: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> ServiceUrl {
        ServiceUrl::parse("https://a.example/token").unwrap()
    }

    #[test]
    fn a_form_holds_every_byte() {
        let all = ('\u{1}'..='\u{ff}').collect::<String>() + "&=+ %";
        let request = post(&url(), &[("a", "x y"), ("b", &all)]);
        let body = request.body().bytes().unwrap();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        assert_eq!(pairs, [("a".to_owned(), "x y".to_owned()), ("b".to_owned(), all)]);
    }

    #[test]
    fn a_bearer_token_stands_in_its_header_only() {
        let request = get(&url(), Some(&Secret::new("secret")));
        assert_eq!(request.headers().get("authorization"), Some("Bearer secret"));
        assert_eq!(request.uri(), "https://a.example/token");
    }
}
