//! Reads who a request claims to be signed by: the `Authorization` header or the query parameters
//! of a presigned URL. Checks form only; [`super::signature`] checks the content.

use std::time::Duration;

use super::answer::ApiError;
use super::params::ApiRequest;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Names of the query parameters that carry the signature of a presigned URL.
pub(crate) const SIGNING_PARAMS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// Where the signature of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location {
    Headers,
    /// A presigned URL, good for this long after its date (1 s to 7 days).
    Query {
        expires_in: Duration,
    },
}

/// What a signed request says about its signature.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) access_key_id: String,
    pub(crate) scope_date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) terminator: String,
    /// Lower-case names, in the order given.
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
    /// `X-Amz-Date` as sent.
    pub(crate) amz_date: String,
    pub(crate) session_token: Option<String>,
    pub(crate) location: Location,
}

impl Authorization {
    /// Finds the authorization of `request`.
    ///
    /// # Errors
    /// `MissingAuthenticationToken` for an unsigned request, `IncompleteSignature` for one that
    /// lacks a part.
    pub(crate) fn read(request: &ApiRequest) -> Result<Self, ApiError> {
        if let Some(header) = request.header("authorization") {
            return Self::from_header(request, header);
        }
        if request.params.get("X-Amz-Algorithm").is_some() {
            return Self::from_query(request);
        }
        Err(ApiError::forbidden(
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        ))
    }

    fn from_header(request: &ApiRequest, header: &str) -> Result<Self, ApiError> {
        let fields = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let fields = fields.ok_or_else(|| {
            incomplete(format!("Authorization header requires the algorithm '{ALGORITHM}'."))
        })?;
        let field = |name: &str| {
            let found = fields.split(',').find_map(|field| {
                field.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
            });
            found.ok_or_else(|| {
                incomplete(format!("Authorization header requires '{name}' parameter."))
            })
        };
        let amz_date = request.header("x-amz-date").ok_or_else(|| {
            incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
        })?;
        Self::assemble(
            field("Credential")?,
            field("SignedHeaders")?,
            field("Signature")?,
            amz_date,
            request.header("x-amz-security-token"),
            Location::Headers,
        )
    }

    fn from_query(request: &ApiRequest) -> Result<Self, ApiError> {
        let field = |name: &str| {
            request.params.get(name).ok_or_else(|| {
                incomplete(format!("AWS query-string parameters must include '{name}'."))
            })
        };
        if field("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(format!("X-Amz-Algorithm must be '{ALGORITHM}'.")));
        }
        let expires_in = field("X-Amz-Expires")?.parse().ok().filter(|s| (1..=604_800).contains(s));
        let expires_in = expires_in.ok_or_else(|| {
            incomplete("X-Amz-Expires must be a number of seconds from 1 to 604800.")
        })?;
        Self::assemble(
            field("X-Amz-Credential")?,
            field("X-Amz-SignedHeaders")?,
            field("X-Amz-Signature")?,
            field("X-Amz-Date")?,
            request.params.get("X-Amz-Security-Token"),
            Location::Query { expires_in: Duration::from_secs(expires_in) },
        )
    }

    fn assemble(
        credential: &str,
        signed_headers: &str,
        signature: &str,
        amz_date: &str,
        session_token: Option<&str>,
        location: Location,
    ) -> Result<Self, ApiError> {
        let parts: Vec<&str> = credential.split('/').collect();
        let &[access_key_id, scope_date, region, service, terminator] = parts.as_slice() else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{credential}'"
            )));
        };
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            scope_date: scope_date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            terminator: terminator.to_owned(),
            signed_headers: signed_headers.split(';').map(str::to_ascii_lowercase).collect(),
            signature: signature.to_owned(),
            amz_date: amz_date.to_owned(),
            session_token: session_token.map(str::to_owned),
            location,
        })
    }
}

fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("IncompleteSignature", message)
}
