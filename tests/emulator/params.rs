//! The request as the actions see it: parameters of the Query protocol, and the parts of the HTTP
//! request that signatures cover.

use http::{HeaderMap, Method, Uri};

/// A request that has been received whole.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) params: Params,
}

impl ApiRequest {
    /// Reads the parameters out of the query string and, for a POST, the form body.
    pub(crate) fn new(method: Method, uri: Uri, headers: HeaderMap, body: Vec<u8>) -> Self {
        let mut params = Params::decode(uri.query().unwrap_or_default().as_bytes());
        if method == Method::POST {
            params.0.extend(Params::decode(&body).0);
        }
        Self { method, uri, headers, body, params }
    }

    /// A header as text; `None` when it is missing or is no ASCII text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Decoded `name=value` pairs in the order received.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a query string or a form body.
    pub(crate) fn decode(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
