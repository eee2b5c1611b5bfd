//! Tokens of services other than AWS, as programs read them.

use super::Text;
use crate::broker::SessionError;
use crate::model::{HostName, Secret, TokenGrant};

/// The user name that GitHub expects with an installation token (GitHub Docs, "Authenticating as a
/// GitHub App installation").
const GIT_USER: &str = "x-access-token";

/// Renders a token and nothing else.
pub fn token_text(token: &Secret) -> Text {
    let mut text = Text::new(String::with_capacity(token.expose().len()));
    text.push_str(token.expose());
    text
}

/// Renders the file that `git credential-store` reads (git-credential-store(1), "STORAGE FORMAT"):
/// one URL a line. It skips lines that are none, and so the newlines behind.
pub fn git_credentials(host: &HostName, token: &Secret) -> Text {
    let password = token.expose();
    let mut text = Text::new(String::with_capacity(password.len() * 3 + host.as_str().len() + 32));
    for part in ["https://", GIT_USER, ":"] {
        text.push_str(part);
    }
    for byte in password.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    for part in ["@", host.as_str(), "\n"] {
        text.push_str(part);
    }
    text
}

/// The reason a token cannot be had, as readers see it: one generic line that is no token, no URL, no
/// key and nothing to a shell.
pub fn token_failure(grant: &TokenGrant, error: &SessionError) -> String {
    let place = error.place.as_ref().map(|place| format!(" in {}", place.as_str()));
    let (name, what, why) = (grant.name(), grant.what(), error.cause.sentence());
    let place = place.unwrap_or_default();
    format!("credmount: {name} has no {what}: {why}{place}, run credmount status")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::Cause;
    use crate::model::{OidcIdentity, ServiceUrl};

    #[test]
    fn git_reads_a_url_in_which_every_token_is_whole() {
        let host = HostName::parse("git.example.com:8443").unwrap();
        let text = |secret: &str| git_credentials(&host, &Secret::new(secret)).to_string();
        assert_eq!(text("ghs_aZ09"), "https://x-access-token:ghs_aZ09@git.example.com:8443\n");
        assert_eq!(
            text("a/b@c:%\u{e9}"),
            "https://x-access-token:a%2Fb%40c%3A%25%C3%A9@git.example.com:8443\n"
        );
        assert_eq!(*token_text(&Secret::new("a.b.c")), "a.b.c");
    }

    #[test]
    fn a_reason_says_which_token_and_nothing_of_the_answer() {
        let error = SessionError::new("x", Cause::Network, "words of the issuer");
        let grant = TokenGrant::WebIdentity(Arc::new(OidcIdentity {
            name: "corp".to_owned(),
            issuer: ServiceUrl::parse("https://issuer.example.com").unwrap(),
            client_id: "c".to_owned(),
            scope: "openid".to_owned(),
            audience: None,
            token_url: None,
        }));
        let line = token_failure(&grant, &error);
        assert!(line.starts_with("credmount: web-identity/corp has no token: "), "{line}");
        assert!(!line.contains("words") && !line.contains("://") && !line.contains('\n'));
    }
}
