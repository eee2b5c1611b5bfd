//! Who one is to an issuer of `OpenID` Connect tokens, and where such a token comes from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::ServiceUrl;

/// Where the token of an AssumeRoleWithWebIdentity call comes from. It is asked anew for each call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// A file that somebody else keeps fresh, such as the kubelet.
    File(PathBuf),
    /// A command for `sh -c` that prints the token.
    Process(String),
    /// An issuer at which somebody has logged in.
    Identity(Arc<OidcIdentity>),
}

impl fmt::Display for TokenSource {
    /// Without the command, which may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "web identity token file {}", path.display()),
            Self::Process(_) => f.write_str("web_identity_process"),
            Self::Identity(identity) => write!(f, "identity {}", identity.name),
        }
    }
}

/// A client of an issuer at which a person logs in by the device authorization grant (RFC 8628).
/// Two that are equal share a login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OidcIdentity {
    /// The NAME of `[identities.NAME]`.
    pub name: String,
    /// The issuer, whose discovery document says the rest.
    pub issuer: ServiceUrl,
    /// `client_id`: a public client, which has no secret.
    pub client_id: String,
    /// `scope`, with spaces between several.
    pub scope: String,
    /// `audience`, for issuers that ask for one.
    pub audience: Option<String>,
    /// Where an access token is exchanged for the token that AWS takes. Without it AWS is given the
    /// ID token of the login.
    pub token_url: Option<ServiceUrl>,
}
