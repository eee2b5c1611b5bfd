//! URLs of services that are sent tokens.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

use super::{NameError, quoted};

/// An absolute `https` URL without user, fragment and characters that have to be escaped; `http` is
/// legal towards this machine only, because whoever is on the way can read tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceUrl(String);

/// The longest URL, in bytes.
const LONGEST: usize = 2048;

impl ServiceUrl {
    /// Checks `text`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |why: &str| Err(NameError(format!("URL {} {why}", quoted(text))));
        let (rest, is_plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return wrong("must begin with https://"),
        };
        if text.len() > LONGEST {
            return wrong("has more than 2048 characters");
        }
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if !text.bytes().all(legal) {
            return wrong("holds a character that URLs do not have");
        }
        if text.contains('#') {
            return wrong("has a fragment (#), which is of no use here");
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            // It is not repeated.
            return Err(NameError("the URL holds a user name or password: remove it".to_owned()));
        }
        let Some(host) = host_of(authority) else { return wrong("has no legal host and port") };
        if is_plain && !is_this_machine(host) {
            return wrong("must begin with https://, since tokens are sent there");
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as it was checked.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This URL with `path`, which begins with `/`, behind its own path (RFC 8414, section 3.1, for
    /// issuers as `OpenID` Connect Discovery 1.0, section 4, has it).
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        Self(format!("{}{path}", self.0.trim_end_matches('/')))
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host of `HOST[:PORT]` or `[IPV6][:PORT]`, if both are legal.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let is_name = |c: u8| c.is_ascii_alphanumeric() || b".-_:".contains(&c);
    let port_fits = port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    (!host.is_empty() && host.bytes().all(is_name) && port_fits).then_some(host)
}

fn is_this_machine(host: &str) -> bool {
    host.parse::<IpAddr>()
        .map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_legal_everywhere_and_http_towards_this_machine() {
        for text in [
            "https://issuer.example.com",
            "https://issuer.example.com:8443/realms/a?x=1",
            "https://[2001:db8::1]/a",
            "http://127.0.0.1:8080",
            "http://[::1]:1/x",
            "http://localhost/x",
        ] {
            assert_eq!(ServiceUrl::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_could_give_tokens_away_is_refused() {
        for text in [
            "",
            "issuer.example.com",
            "ftp://issuer.example.com",
            "http://issuer.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1/",
            "https://",
            "https:///a",
            "https://user:password@issuer.example.com",
            "http://127.0.0.1@issuer.example.com/",
            "https://issuer.example.com:port",
            "https://issuer.example.com:0",
            "https://[::1",
            "https://[::1]x",
            "https://issuer.example.com/a b",
            "https://issuer.example.com/a\nb",
            "https://issuer.example.com/#a",
        ] {
            assert!(ServiceUrl::parse(text).is_err(), "{text}");
        }
        let long = format!("https://issuer.example.com/{}", "a".repeat(LONGEST));
        assert!(ServiceUrl::parse(&long).is_err());
    }

    #[test]
    fn a_path_stands_behind_that_of_the_issuer() {
        let url = ServiceUrl::parse("https://a.example/realm/").unwrap();
        assert_eq!(url.join("/x/y").as_str(), "https://a.example/realm/x/y");
    }
}
