//! Who is let in. Pure: the head of a request comes in, the profile it asks for goes out, or why it
//! is refused.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use crate::model::Secret;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It names another host than this, or none: a page that was loaded from elsewhere may have
    /// made a browser ask here (DNS rebinding).
    ForeignHost,
    /// Somebody else has sent it on.
    Forwarded,
    /// Nothing but reading is possible.
    Method,
    /// No token, or not the one of this mount.
    Token,
    /// The path is not `/role/NAME`.
    Path,
    /// The mount has no such profile.
    UnknownRole,
    /// Too many requests.
    Limited,
    /// The audit log cannot be written, and requests must not be served without.
    Unrecorded,
}

impl Refusal {
    /// What HTTP calls it (RFC 9110, section 15).
    pub fn status(self) -> StatusCode {
        match self {
            Self::ForeignHost | Self::Forwarded => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Path | Self::UnknownRole => StatusCode::NOT_FOUND,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unrecorded => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Its name in answers, records and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::ForeignHost => "ForeignHost",
            Self::Forwarded => "Forwarded",
            Self::Method => "MethodNotAllowed",
            Self::Token => "InvalidToken",
            Self::Path => "NoSuchPath",
            Self::UnknownRole => "UnknownRole",
            Self::Limited => "TooManyRequests",
            Self::Unrecorded => "NotRecorded",
        }
    }

    /// What whoever asks is told. It does not repeat anything of the request.
    pub fn message(self) -> &'static str {
        match self {
            Self::ForeignHost => {
                "credmount: ask by the address of the endpoint as it is configured, or localhost"
            }
            Self::Forwarded => "credmount: requests that were forwarded by a proxy are refused",
            Self::Method => "credmount: use GET",
            Self::Token => {
                "credmount: the token is missing or wrong, \
                 name credmount/endpoint/token of the mount in \
                 AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
            }
            Self::Path => "credmount: ask for /role/NAME, with the name of a profile of the mount",
            Self::UnknownRole => {
                "credmount: the mount has no such profile, credmount status lists those it has"
            }
            Self::Limited => "credmount: too many requests, ask again in a second",
            Self::Unrecorded => "credmount: the audit log cannot be written, run credmount status",
        }
    }
}

/// The profile that a request asks for, if it is let in at the endpoint of `address`. Nothing is told
/// of paths to those who have no token.
///
/// # Errors
/// Why it is not.
pub fn admit(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    address: SocketAddr,
    token: &Secret,
) -> Result<String, Refusal> {
    let host = single(headers, &HOST).ok_or(Refusal::ForeignHost)?;
    let named = uri.authority().map(|authority| authority.as_str().as_bytes());
    if !is_ours(host, address) || named.is_some_and(|named| !is_ours(named, address)) {
        return Err(Refusal::ForeignHost);
    }
    if SIGNS_OF_OTHERS.iter().any(|name| headers.contains_key(name)) {
        return Err(Refusal::Forwarded);
    }
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if !single(headers, &AUTHORIZATION).is_some_and(|shown| token.is(shown)) {
        return Err(Refusal::Token);
    }
    let name = uri.path().strip_prefix("/role/").ok_or(Refusal::Path)?;
    let name = percent_decode_str(name).decode_utf8().map_err(|_| Refusal::UnknownRole)?;
    Ok(name.into_owned())
}

/// The value of a header that stands there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// Whether a host, with or without a port, is the endpoint itself.
fn is_ours(host: &[u8], address: SocketAddr) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let port = format!(":{}", address.port());
    let name = host.strip_suffix(&port).unwrap_or(host);
    let literal = match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    name == literal || name.eq_ignore_ascii_case("localhost")
}

/// What proxies add, and browsers: no AWS SDK sends any of them.
const SIGNS_OF_OTHERS: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    ORIGIN,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn ask(method: &Method, uri: &str, pairs: &[(&'static str, &str)]) -> Result<String, Refusal> {
        let address = "127.0.0.1:9911".parse().unwrap();
        let uri: Uri = uri.parse().unwrap();
        admit(method, &uri, &headers(pairs), address, &Secret::new(TOKEN))
    }

    const RIGHT: [(&str, &str); 2] = [("host", "127.0.0.1:9911"), ("authorization", TOKEN)];

    #[test]
    fn who_has_the_token_asks_for_a_profile_by_its_name() {
        for (path, name) in [
            ("/role/prod", "prod"),
            ("/role/a%2Bb%25", "a+b%"),
            ("/role/a+b:c@d", "a+b:c@d"),
            ("/role/prod?x=y", "prod"),
        ] {
            assert_eq!(ask(&Method::GET, path, &RIGHT), Ok(name.to_owned()), "{path}");
        }
        assert_eq!(ask(&Method::GET, "/role/%ff", &RIGHT), Err(Refusal::UnknownRole));
        for path in ["/", "/role", "/roles/prod", "//role/prod"] {
            assert_eq!(ask(&Method::GET, path, &RIGHT), Err(Refusal::Path), "{path}");
        }
    }

    #[test]
    fn only_the_token_itself_is_the_token() {
        let with = |token: &str| {
            ask(&Method::GET, "/role/prod", &[("host", "localhost"), ("authorization", token)])
        };
        assert!(with(TOKEN).is_ok());
        for wrong in ["", "0123456789abcdeF", "0123456789abcde", "Bearer 0123456789abcdef"] {
            assert_eq!(with(wrong), Err(Refusal::Token), "{wrong:?}");
        }
        let twice = [RIGHT[0], RIGHT[1], RIGHT[1]];
        assert_eq!(ask(&Method::GET, "/role/prod", &twice), Err(Refusal::Token));
        assert_eq!(ask(&Method::GET, "/role/prod", &RIGHT[..1]), Err(Refusal::Token));
        assert_eq!(ask(&Method::GET, "/nothing", &RIGHT[..1]), Err(Refusal::Token));
    }

    #[test]
    fn only_the_endpoint_itself_is_asked() {
        let at = |address: &str, host: &str| {
            let pairs = [("host", host), ("authorization", TOKEN)];
            let (uri, token) = (Uri::from_static("/role/prod"), Secret::new(TOKEN));
            let address = address.parse().unwrap();
            admit(&Method::GET, &uri, &headers(&pairs), address, &token)
        };
        let (v4, v6) = ("127.0.0.1:9911", "[::1]:9911");
        for host in ["127.0.0.1:9911", "127.0.0.1", "localhost:9911", "LOCALHOST"] {
            assert!(at(v4, host).is_ok(), "{host}");
        }
        for host in ["[::1]:9911", "[::1]", "localhost"] {
            assert!(at(v6, host).is_ok(), "{host}");
        }
        for host in ["evil.example", "127.0.0.1:80", "127.0.0.2:9911", "localhost.evil", "", "::1"]
        {
            assert_eq!(at(v4, host), Err(Refusal::ForeignHost), "{host}");
            assert_eq!(at(v6, host), Err(Refusal::ForeignHost), "{host}");
        }
        let none = [("authorization", TOKEN)];
        assert_eq!(ask(&Method::GET, "/role/prod", &none), Err(Refusal::ForeignHost));
        let two = [RIGHT[0], ("host", "evil.example"), RIGHT[1]];
        assert_eq!(ask(&Method::GET, "/role/prod", &two), Err(Refusal::ForeignHost));
        let foreign = "http://evil.example/role/prod";
        assert_eq!(ask(&Method::GET, foreign, &RIGHT), Err(Refusal::ForeignHost));
        assert!(ask(&Method::GET, "http://localhost:9911/role/prod", &RIGHT).is_ok());
    }

    #[test]
    fn what_was_sent_on_is_refused_whatever_it_shows() {
        for name in ["x-forwarded-for", "forwarded", "via", "x-real-ip", "origin"] {
            let pairs = [RIGHT[0], RIGHT[1], (name, "10.0.0.1")];
            assert_eq!(ask(&Method::GET, "/role/prod", &pairs), Err(Refusal::Forwarded), "{name}");
        }
    }

    #[test]
    fn nothing_but_get_is_understood() {
        for method in [Method::POST, Method::PUT, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
            assert_eq!(ask(&method, "/role/prod", &RIGHT), Err(Refusal::Method), "{method}");
        }
    }

    proptest! {
        #[test]
        fn nothing_gets_in_without_the_token(
            path in "/[ -~&&[^\"<>\\\\^`{|}#]]{0,40}",
            host in "[ -~]{0,20}",
            token in "[ -~]{0,20}",
        ) {
            prop_assume!(token != TOKEN);
            if let Ok(uri) = path.parse::<Uri>() {
                let pairs = [("host", host.as_str()), ("authorization", token.as_str())];
                let address = "127.0.0.1:9911".parse().unwrap();
                let headers = headers(&pairs);
                prop_assert!(
                    admit(&Method::GET, &uri, &headers, address, &Secret::new(TOKEN)).is_err()
                );
            }
        }
    }
}
