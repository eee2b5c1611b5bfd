//! Certificates for ssh, as Vouch gives them ("SSH certificates"): what is asked, and what an answer
//! has to be.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde::{Deserialize, Serialize};

use super::answers::Body;
use super::request;
use crate::identity::{GivenCertificate, IssuerError};
use crate::model::{Secret, SshGrant, SshKey};
use crate::openssh;

#[derive(Debug, Serialize)]
struct Asked<'a> {
    public_key: &'a str,
}

/// What else stands there, principals and serial number, is believed only of the certificate itself.
#[derive(Debug, Deserialize)]
struct Given {
    certificate: String,
    /// Seconds.
    valid_for_seconds: Option<u64>,
}

/// The request for a certificate of `key`.
pub(super) fn request(grant: &SshGrant, key: &SshKey, access: &Secret) -> HttpRequest {
    let asked = Asked { public_key: &openssh::public_key(key) };
    // The type has nothing that JSON cannot hold.
    let json = serde_json::to_string(&asked).unwrap_or_default();
    request::post_json(&grant.certificate_url, json, access)
}

/// The certificate in an answer.
pub(super) fn certificate(body: &Body<'_>, key: &SshKey) -> Result<GivenCertificate, IssuerError> {
    let Given { certificate, valid_for_seconds } = body.given()?;
    let certificate = openssh::certificate(&certificate, key)
        .map_err(|problem| body.unusable(&format!("its certificate {problem}")))?;
    Ok(GivenCertificate { certificate, lifetime: valid_for_seconds.map(Duration::from_secs) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::base64;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::model::{OidcIdentity, ServiceUrl, SshName};

    fn url(text: &str) -> ServiceUrl {
        ServiceUrl::parse(text).unwrap()
    }

    fn answer(key: &SshKey, status: u16, text: &str) -> Result<GivenCertificate, IssuerError> {
        let (url, bearer) = (url("https://issuer.example.com/ssh"), Secret::new("access-token"));
        let body = SdkBody::from(text.to_owned());
        let answer = HttpResponse::new(status.try_into().unwrap(), body);
        certificate(&Body::new(&url, &answer, Some(&bearer))?, key)
    }

    #[test]
    fn no_more_than_the_public_key_is_sent() {
        let key = openssh::new_key().unwrap();
        let identity = OidcIdentity {
            name: "corp".to_owned(),
            issuer: url("https://issuer.example.com"),
            client_id: "c".to_owned(),
            scope: "openid".to_owned(),
            audience: None,
            token_url: None,
        };
        let grant = SshGrant {
            identity: Arc::new(identity),
            name: SshName::parse("prod").unwrap(),
            certificate_url: url("https://issuer.example.com/v1/credentials/ssh"),
        };
        let request = request(&grant, &key, &Secret::new("secret"));
        assert_eq!((request.method(), request.uri()), ("POST", grant.certificate_url.as_str()));
        assert_eq!(request.headers().get("authorization"), Some("Bearer secret"));
        let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
        assert_eq!(body, format!(r#"{{"public_key":"{}"}}"#, openssh::public_key(&key)));
        assert!(!body.contains(&base64::encode(key.seed())[..20]));
    }

    #[test]
    fn an_answer_without_a_certificate_of_the_key_is_refused_and_told_why() {
        let key = openssh::new_key().unwrap();
        let plain = format!(r#"{{"certificate":"{}"}}"#, openssh::public_key(&key));
        for (text, why) in [
            ("", "not the JSON that is expected"),
            ("{}", "not the JSON that is expected"),
            (r#"{"certificate":""}"#, "its certificate is no OpenSSH certificate"),
            (plain.as_str(), "its certificate is no OpenSSH certificate"),
        ] {
            let error = answer(&key, 200, text).unwrap_err();
            assert!(matches!(error, IssuerError::Unusable(_)), "{text}");
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(matches!(answer(&key, 401, "{}"), Err(IssuerError::TokenRefused(_))));
        assert!(matches!(answer(&key, 403, "{}"), Err(IssuerError::Unusable(_))));
        assert!(matches!(answer(&key, 503, "{}"), Err(IssuerError::Unreachable(_))));
    }
}
