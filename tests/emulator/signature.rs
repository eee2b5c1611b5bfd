//! Verifies Signature Version 4 by signing the request again with the secret on file. Source: AWS
//! IAM User Guide, "AWS Signature Version 4 for API requests".

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use super::answer::ApiError;
use super::authorization::{Authorization, Location, SIGNING_PARAMS};
use super::clock;
use super::keys::{Key, KeyRing, Principal};
use super::params::ApiRequest;

/// How far the date of a request may be from the clock of the service.
const ALLOWED_SKEW: Duration = Duration::from_mins(5);

/// The principal that signed `request`, at the instant `now`.
///
/// # Errors
/// What STS answers to a request that is unsigned, incompletely or wrongly signed, signed too long
/// ago, for another service, with an unknown key, with the token of another session, or with a
/// session that is over.
pub(crate) fn authenticate(
    request: &ApiRequest,
    keys: &KeyRing,
    now: SystemTime,
) -> Result<Principal, ApiError> {
    let authorization = Authorization::read(request)?;
    let signed_at = check_date(&authorization, now)?;
    check_scope(&authorization)?;
    let key = keys.key(&authorization.access_key_id).ok_or_else(ApiError::invalid_client_token)?;
    if key.session_token != authorization.session_token {
        return Err(ApiError::invalid_client_token());
    }
    check_signature(&authorization, request, key, signed_at)?;
    if key.expiration.is_some_and(|expiration| expiration <= now) {
        return Err(ApiError::expired_token());
    }
    Ok(key.principal.clone())
}

fn check_date(authorization: &Authorization, now: SystemTime) -> Result<SystemTime, ApiError> {
    let date = &authorization.amz_date;
    let signed_at = clock::parse_amz_date(date).ok_or_else(|| {
        let message = format!("Date must be in ISO-8601 'basic format'. Got '{date}'.");
        ApiError::bad_request("IncompleteSignature", message)
    })?;
    let good_until = match authorization.location {
        Location::Headers => signed_at + ALLOWED_SKEW,
        Location::Query { expires_in } => signed_at + expires_in,
    };
    let shown_now = clock::amz_date(now);
    if now > good_until {
        return Err(mismatch(match authorization.location {
            Location::Headers => format!(
                "Signature expired: {date} is now earlier than {} ({shown_now} - 5 min.)",
                clock::amz_date(now - ALLOWED_SKEW)
            ),
            Location::Query { .. } => format!(
                "Signature expired: {} is now earlier than {shown_now}",
                clock::amz_date(good_until)
            ),
        }));
    }
    if signed_at > now + ALLOWED_SKEW {
        return Err(mismatch(format!(
            "Signature not yet current: {date} is still later than {} ({shown_now} + 5 min.)",
            clock::amz_date(now + ALLOWED_SKEW)
        )));
    }
    Ok(signed_at)
}

fn check_scope(authorization: &Authorization) -> Result<(), ApiError> {
    let Authorization { scope_date, region, service, terminator, amz_date, .. } = authorization;
    if service != "sts" {
        return Err(mismatch("Credential should be scoped to correct service: 'sts'."));
    }
    if !is_plausible_region(region) {
        return Err(mismatch("Credential should be scoped to a valid region."));
    }
    if terminator != "aws4_request" {
        return Err(mismatch(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not \
             '{terminator}'."
        )));
    }
    let day = &amz_date[..8];
    if scope_date != day {
        return Err(mismatch(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{scope_date}' != '{day}', from '{amz_date}'."
        )));
    }
    Ok(())
}

/// Whether `text` has the form of a region: words of lower-case letters and then a number, as in
/// `eu-west-1`, `us-gov-west-1`, `us-isob-east-1`, `eusc-de-east-1`.
fn is_plausible_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase());
    words.contains('-')
        && words.split('-').all(is_word)
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn check_signature(
    authorization: &Authorization,
    request: &ApiRequest,
    key: &Key,
    signed_at: SystemTime,
) -> Result<(), ApiError> {
    let is_signed = |name: &str| authorization.signed_headers.iter().any(|header| header == name);
    let mut required = vec!["host"];
    if authorization.location == Location::Headers {
        required.push("x-amz-date");
        required.extend(authorization.session_token.as_ref().map(|_| "x-amz-security-token"));
    }
    if let Some(missing) = required.into_iter().find(|name| !is_signed(name)) {
        return Err(mismatch(format!(
            "'{missing}' must be a 'SignedHeader' in the AWS Authorization."
        )));
    }
    let computed = recompute(authorization, request, key, signed_at);
    if computed.is_some_and(|computed| same(&computed, &authorization.signature)) {
        return Ok(());
    }
    Err(mismatch(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details.",
    ))
}

/// Signs the request again with exactly the headers that the client says it signed; `None` for a
/// request that cannot be signed, such as one with a header that is no text.
fn recompute(
    authorization: &Authorization,
    request: &ApiRequest,
    key: &Key,
    signed_at: SystemTime,
) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None;
    let mut credentials = Credentials::builder()
        .access_key_id(&authorization.access_key_id)
        .secret_access_key(&key.secret)
        .provider_name("sts-emulator");
    let path = request.uri.path();
    let host = request.header("host")?;
    let uri = match authorization.location {
        // The session token is one of the signed headers, so the signer need not add it.
        Location::Headers => {
            let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("http://{host}{path}{query}")
        }
        // Here the signer adds the parameters of the signature, which must not stand there twice.
        Location::Query { expires_in } => {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(expires_in);
            credentials.set_session_token(authorization.session_token.clone());
            format!("http://{host}{path}{}", query_without_signature(request))
        }
    };

    let mut headers = Vec::new();
    for name in &authorization.signed_headers {
        for value in request.headers.get_all(name) {
            headers.push((name.as_str(), value.to_str().ok()?));
        }
    }
    let body = SignableBody::Bytes(&request.body);
    let signable =
        SignableRequest::new(request.method.as_str(), uri, headers.into_iter(), body).ok()?;
    let identity = credentials.build().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&authorization.region)
        .name(&authorization.service)
        .time(signed_at)
        .settings(settings)
        .build()
        .ok()?
        .into();
    Some(sign(signable, &params).ok()?.signature().to_owned())
}

fn query_without_signature(request: &ApiRequest) -> String {
    let query = request.uri.query().unwrap_or_default();
    let is_signing = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        SIGNING_PARAMS.contains(&name)
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_signing(pair)).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

/// Compares without stopping at the first difference.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left.bytes().zip(right.bytes()).fold(0, |seen, (l, r)| seen | (l ^ r)) == 0
}

fn mismatch(message: impl Into<String>) -> ApiError {
    ApiError::forbidden("SignatureDoesNotMatch", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_known_by_their_form() {
        for region in ["us-east-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1"] {
            assert!(is_plausible_region(region), "{region}");
        }
        for region in ["", "us", "us-east", "aws-global", "US-EAST-1", "us-east-x", "east-1"] {
            assert!(!is_plausible_region(region), "{region}");
        }
    }
}
