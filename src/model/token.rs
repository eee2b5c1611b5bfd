//! Tokens of services other than AWS, and what is asked for one.

use std::sync::Arc;
use std::time::SystemTime;

use super::{
    GithubOwner, GithubRepository, HostName, OidcIdentity, Perishable, Secret, ServiceUrl,
    SshCertificate, SshGrant, SshKey,
};

/// What a token is asked for. Two that are equal share a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenGrant {
    /// A GitHub installation token.
    Github(GithubGrant),
    /// A key pair for ssh with a certificate.
    Ssh(SshGrant),
    /// The token that AWS would be given for this identity, for programs that assume a role with it
    /// themselves.
    WebIdentity(Arc<OidcIdentity>),
}

/// A token for the repositories of one owner, for as long as GitHub lets it live: 1 h.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GithubGrant {
    /// Who asks.
    pub identity: Arc<OidcIdentity>,
    /// Whose installation it is.
    pub owner: GithubOwner,
    /// The repositories it is limited to; all of the installation if there are none.
    pub repositories: Vec<GithubRepository>,
    /// Where it is asked for.
    pub token_url: ServiceUrl,
    /// Where git uses it.
    pub host: HostName,
}

impl TokenGrant {
    /// The directory below `credmount/` that tokens of this kind have.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Github(_) => "github",
            Self::Ssh(_) => "ssh",
            Self::WebIdentity(_) => "web-identity",
        }
    }

    /// The directory of this token below that.
    pub fn own_name(&self) -> &str {
        match self {
            Self::Github(grant) => grant.owner.as_str(),
            Self::Ssh(grant) => grant.name.as_str(),
            Self::WebIdentity(identity) => &identity.name,
        }
    }

    /// What it is called everywhere: `github/OWNER`, `ssh/NAME`, `web-identity/NAME`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.kind(), self.own_name())
    }

    /// What is given, in a sentence.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Github(_) | Self::WebIdentity(_) => "token",
            Self::Ssh(_) => "certificate",
        }
    }

    /// Who asks for it.
    pub fn identity(&self) -> &Arc<OidcIdentity> {
        match self {
            Self::Github(grant) => &grant.identity,
            Self::Ssh(grant) => &grant.identity,
            Self::WebIdentity(identity) => identity,
        }
    }
}

/// A token with the instant at which it is accepted no more.
#[derive(Debug, Clone)]
pub struct Token {
    /// What services are sent.
    pub content: TokenContent,
    /// Its name in records, which is no secret: the SHA-256 in base64, which GitHub's audit log calls
    /// `hashed_token`, or that of a certificate ([`SshCertificate::id`]).
    pub id: String,
    /// When we received it, by our wall clock.
    pub issued: SystemTime,
    /// When it is accepted no more.
    pub expiration: SystemTime,
}

/// What a token is made of.
#[derive(Debug, Clone)]
pub enum TokenContent {
    /// A text.
    Text(Secret),
    /// A certificate and the key pair that it is of. All certificates of a grant are of one pair for
    /// as long as there is one, so that who reads both files reads what belongs together, whatever
    /// was renewed in between.
    Ssh {
        /// The pair.
        key: Arc<SshKey>,
        /// Its certificate.
        certificate: SshCertificate,
    },
}

impl Perishable for Token {
    fn key_id(&self) -> &str {
        &self.id
    }

    fn issued(&self) -> SystemTime {
        self.issued
    }

    fn expiration(&self) -> SystemTime {
        self.expiration
    }
}
