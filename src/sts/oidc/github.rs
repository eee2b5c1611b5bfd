//! Tokens for GitHub, as Vouch gives them ("GitHub credentials"): what is asked, and what an answer
//! has to be.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::base64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::answers::Body;
use super::request;
use crate::identity::{GivenToken, IssuerError};
use crate::model::{GithubGrant, GithubRepository, Secret};

/// The longest text that is believed to be a token, in bytes.
const LONGEST_TOKEN: usize = 20_000;

#[derive(Debug, Serialize)]
struct Asked<'a> {
    owner: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<&'a str>,
}

/// Nothing prints it.
#[derive(Deserialize)]
struct Given {
    token: String,
    /// RFC 3339.
    expires_at: Option<String>,
    /// Seconds.
    expires_in: Option<u64>,
}

/// The request for the token of `grant`.
pub(super) fn request(grant: &GithubGrant, access: &Secret) -> HttpRequest {
    let asked = Asked {
        owner: grant.owner.as_str(),
        repositories: grant.repositories.iter().map(GithubRepository::as_str).collect(),
    };
    // The type has nothing that JSON cannot hold.
    let json = serde_json::to_string(&asked).unwrap_or_default();
    request::post_json(&grant.token_url, json, access)
}

/// The token in an answer.
pub(super) fn token(body: &Body<'_>) -> Result<GivenToken, IssuerError> {
    let Given { token, expires_at, expires_in } = body.given()?;
    let token = Secret::new(token);
    let is_token = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token || !(1..=LONGEST_TOKEN).contains(&token.expose().len()) {
        return Err(body.unusable("its token is empty, too long or no text without spaces"));
    }
    let ends = expires_at.map(|text| humantime::parse_rfc3339(&text));
    let ends = ends.transpose().map_err(|_| body.unusable("its expires_at is no instant"))?;
    let lifetime = expires_in.map(Duration::from_secs);
    if ends.is_none() && lifetime.is_none() {
        return Err(body.unusable("it does not say when the token ends"));
    }
    Ok(GivenToken { token, ends: ends.map(|end| body.by_our_clock(end)), lifetime })
}

/// As the audit log of GitHub has it (GitHub Docs, "Identifying audit log events performed by an
/// access token").
pub(super) fn hash(token: &Secret) -> String {
    base64::encode(Sha256::digest(token.expose()))
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::model::ServiceUrl;

    fn answer(status: u16, text: &str) -> Result<GivenToken, IssuerError> {
        let url = ServiceUrl::parse("https://issuer.example.com/github").unwrap();
        let bearer = Secret::new("access-token");
        let body = SdkBody::from(text.to_owned());
        let answer = HttpResponse::new(status.try_into().unwrap(), body);
        token(&Body::new(&url, &answer, Some(&bearer))?)
    }

    #[test]
    fn a_token_has_a_text_and_an_end() {
        let text = r#"{"token":"ghs_a","expires_at":"1970-01-01T01:00:00Z","expires_in":3500,
            "permissions":{"contents":"read"}}"#;
        for status in [200, 201] {
            let given = answer(status, text).unwrap();
            assert_eq!(given.token.expose(), "ghs_a");
            assert_eq!(given.ends, Some(std::time::UNIX_EPOCH + Duration::from_hours(1)));
            assert_eq!(given.lifetime, Some(Duration::from_secs(3500)));
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        let long = format!(r#"{{"token":"{}","expires_in":1}}"#, "t".repeat(LONGEST_TOKEN + 1));
        for text in [
            "",
            "null",
            r#"{"token":"","expires_in":1}"#,
            r#"{"token":"secret with space","expires_in":1}"#,
            r#"{"token":"secret\n","expires_in":1}"#,
            r#"{"token":"secret"}"#,
            r#"{"token":"secret","expires_at":"tomorrow"}"#,
            &long,
        ] {
            let error = answer(200, text).unwrap_err();
            assert!(matches!(error, IssuerError::Unusable(_)), "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_who_has_to_do_something_and_nothing_of_the_access_token() {
        let said = r#"{"error":"no_app","error_description":"not access-token at all"}"#;
        assert!(matches!(answer(401, said), Err(IssuerError::TokenRefused(_))));
        assert!(matches!(answer(503, said), Err(IssuerError::Unreachable(_))));
        let error = answer(403, said).unwrap_err();
        assert!(matches!(error, IssuerError::Unusable(_)));
        let error = error.to_string();
        assert!(error.contains("403, no_app, not [redacted] at all"), "{error}");
    }

    #[test]
    fn the_hash_is_that_of_the_audit_log_of_github() {
        // printf abc | openssl dgst -sha256 -binary | base64
        let expected = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(hash(&Secret::new("abc")), expected);
    }
}
