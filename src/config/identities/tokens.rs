//! `[github.OWNER]` and `[ssh.NAME]`, and which of these tokens a mount shows: `tokens`, as names of
//! their directories below `credmount/`.
//!
//! 1. A mount that says `tokens` shows these.
//! 2. One that says nothing of tokens and nothing of roles shows all of these tables, as it serves
//!    all configured roles.
//! 3. One that says which roles it serves, but nothing of tokens, shows none: who has picked what
//!    readers get is not given more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::IdentityCatalog;
use crate::config::options::Options;
use crate::config::values::{Origin, Report, Sourced, Table, listed, meant, shown};
use crate::model::{
    GithubGrant, GithubOwner, GithubRepository, HostName, OidcIdentity, ServiceUrl, SshGrant,
    SshName, TokenGrant,
};

/// The keys of `[github.OWNER]`, in the order in which messages list them.
const GITHUB_KEYS: [&str; 4] = ["identity", "repositories", "token_url", "host"];

/// The keys of `[ssh.NAME]`, in the order in which messages list them.
const SSH_KEYS: [&str; 2] = ["identity", "certificate_url"];

/// What users of Vouch are told to set, in place of a table.
const OWNER_VARIABLE: &str = "GITHUB_OWNER";

/// Where git uses a token when nothing says otherwise.
const DEFAULT_HOST: &str = "github.com";

/// What stands before the name of an identity whose own token is to be shown.
const WEB_IDENTITY: &str = "web-identity/";

/// The tables of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum TokenKind {
    Github,
    Ssh,
}

impl TokenKind {
    /// All, in the order in which messages list them.
    pub(in crate::config) const ALL: [Self; 2] = [Self::Github, Self::Ssh];

    /// The kind of the tables `[name.…]`.
    pub(in crate::config) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.table() == name)
    }

    /// What its tables begin with, and the name of its directory below `credmount/`.
    pub(in crate::config) fn table(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Ssh => "ssh",
        }
    }

    /// The keys of its tables.
    pub(in crate::config) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Github => &GITHUB_KEYS,
            Self::Ssh => &SSH_KEYS,
        }
    }

    /// What messages call one.
    pub(in crate::config) fn what(self) -> &'static str {
        match self {
            Self::Github => "GitHub owner",
            Self::Ssh => "ssh certificate",
        }
    }
}

/// All tokens that mounts may show.
pub(in crate::config) struct TokenCatalog<'a> {
    /// Those that have a table, or a variable.
    configured: Vec<Arc<TokenGrant>>,
    /// The names of those that cannot be used, whose errors are in the report.
    broken: Vec<String>,
    identities: &'a IdentityCatalog<'a>,
}

impl<'a> TokenCatalog<'a> {
    /// Checks all.
    pub(in crate::config) fn check(
        raw: &[(TokenKind, Table)],
        identities: &'a IdentityCatalog<'a>,
        environment: &BTreeMap<String, String>,
        report: &mut Report,
    ) -> Self {
        let mut catalog = Self { configured: Vec::new(), broken: Vec::new(), identities };
        for (kind, table) in raw {
            match (Keys { kind: *kind, raw: table, identities, report }).grant() {
                Some(grant) => catalog.configured.push(Arc::new(grant)),
                None => catalog.broken.push(format!("{}/{}", kind.table(), table.name)),
            }
        }
        let owner = environment.get(OWNER_VARIABLE).filter(|owner| !owner.is_empty());
        let has_owner = raw.iter().any(|(kind, _)| *kind == TokenKind::Github);
        if let (false, Some(owner), Some(identity)) = (has_owner, owner, identities.of_vouch()) {
            let origin = Origin::variable(OWNER_VARIABLE);
            if let Some(owner) = report.check(&origin, GithubOwner::parse(owner)) {
                let grant = of_owner(owner, identity, identities);
                catalog.configured.extend(grant.map(|it| Arc::new(TokenGrant::Github(it))));
            }
        }
        catalog
    }

    /// What a mount with these options shows.
    pub(in crate::config) fn served(
        &self,
        options: &Options,
        report: &mut Report,
    ) -> Vec<Arc<TokenGrant>> {
        let Some(asked) = &options.tokens else {
            let all = options.roles.is_empty() && !options.no_roles;
            return if all { self.configured.clone() } else { Vec::new() };
        };
        let mut served: Vec<Arc<TokenGrant>> = Vec::new();
        for name in asked {
            match self.find(&name.value) {
                Ok(Some(grant)) if !served.contains(&grant) => served.push(grant),
                Ok(_) => {}
                Err(problem) => report.error(&name.origin, problem),
            }
        }
        served
    }

    /// The token of this name; `None` if the report has an error about it already.
    fn find(&self, name: &str) -> Result<Option<Arc<TokenGrant>>, String> {
        if let Some(identity) = name.strip_prefix(WEB_IDENTITY) {
            let identity = self.identities.named(identity)?;
            return Ok(identity.map(|it| Arc::new(TokenGrant::WebIdentity(it.clone()))));
        }
        let found = self.configured.iter().find(|grant| grant.name() == name);
        if found.is_some() || self.broken.iter().any(|broken| broken == name) {
            return Ok(found.cloned());
        }
        let names: Vec<String> = self.configured.iter().map(|grant| grant.name()).collect();
        let names = || names.iter().map(String::as_str);
        let advice = match meant(name, names()) {
            Some(name) => format!("did you mean {}?", shown(name)),
            None if names().next().is_some() => {
                format!("there are {} and web-identity/NAME of an identity", listed(names()))
            }
            None => "write github/OWNER and a table [github.OWNER], ssh/NAME and a table [ssh.NAME], or \
                     web-identity/NAME of an identity"
                .to_owned(),
        };
        Err(format!("there is no token {}: {advice}", shown(name)))
    }
}

/// All that an identity of Vouch may have of an owner.
fn of_owner(
    owner: GithubOwner,
    identity: &Arc<OidcIdentity>,
    identities: &IdentityCatalog<'_>,
) -> Option<GithubGrant> {
    Some(GithubGrant {
        owner,
        repositories: Vec::new(),
        token_url: identities.github_url(identity)?,
        host: HostName::parse(DEFAULT_HOST).ok()?,
        identity: identity.clone(),
    })
}

/// The keys of one table while they are checked.
struct Keys<'a> {
    kind: TokenKind,
    raw: &'a Table,
    identities: &'a IdentityCatalog<'a>,
    report: &'a mut Report,
}

impl Keys<'_> {
    /// The grant, or what is wrong in the report.
    fn grant(&mut self) -> Option<TokenGrant> {
        match self.kind {
            TokenKind::Github => self.github().map(TokenGrant::Github),
            TokenKind::Ssh => self.ssh().map(TokenGrant::Ssh),
        }
    }

    fn github(&mut self) -> Option<GithubGrant> {
        let owner = self.report.check(&self.raw.origin, GithubOwner::parse(&self.raw.name));
        let identity = self.identity();
        let token_url = self.checked("token_url", "https://…", ServiceUrl::parse);
        let host = self.checked("host", DEFAULT_HOST, HostName::parse);
        let repositories = self.repositories();
        let identity = identity?;
        let own = self.identities.github_url(&identity);
        let token_url = token_url.and_then(|it| self.url("token_url", "token", it.or(own)));
        Some(GithubGrant {
            identity,
            owner: owner?,
            repositories: repositories?,
            token_url: token_url?,
            host: host?.or_else(|| HostName::parse(DEFAULT_HOST).ok())?,
        })
    }

    fn ssh(&mut self) -> Option<SshGrant> {
        let name = self.report.check(&self.raw.origin, SshName::parse(&self.raw.name));
        let identity = self.identity();
        let url = self.checked("certificate_url", "https://…", ServiceUrl::parse);
        let identity = identity?;
        let own = self.identities.ssh_url(&identity);
        let url = url.and_then(|it| self.url("certificate_url", "certificate", it.or(own)));
        Some(SshGrant { identity, name: name?, certificate_url: url? })
    }

    /// Where to ask, which only some identities know.
    fn url(&mut self, key: &str, what: &str, found: Option<ServiceUrl>) -> Option<ServiceUrl> {
        if found.is_none() {
            let problem = format!(
                "has no {key}: only identities of type \"vouch\" know where to ask for a {what}"
            );
            self.error(&self.raw.origin, problem);
        }
        found
    }

    fn error(&mut self, origin: &Origin, problem: impl std::fmt::Display) {
        let (what, name) = (self.kind.what(), shown(&self.raw.name));
        self.report.error(origin, format!("{what} {name} {problem}"));
    }

    fn identity(&mut self) -> Option<Arc<OidcIdentity>> {
        let raw = self.raw;
        let Some(found) = raw.find("identity") else {
            self.error(&raw.origin, "has no identity: name one of [identities.NAME]");
            return None;
        };
        let name = self.report.check(&found.origin, found.value.text("identity", "vouch"))?;
        self.report.check(&found.origin, self.identities.named(name))?.cloned()
    }

    /// The value of a key, if it stands there; `None` if it is wrong.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    fn checked<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        let Some(found) = self.raw.find(key) else { return Some(None) };
        let text = self.report.check(&found.origin, found.value.text(key, example))?;
        self.report.check(&found.origin, parse(text)).map(Some)
    }

    /// An empty list would mean all, which nobody writes so.
    fn repositories(&mut self) -> Option<Vec<GithubRepository>> {
        const KEY: &str = "repositories";
        let raw = self.raw;
        let Some(found) = raw.find(KEY) else { return Some(Vec::new()) };
        let parse = |text: Sourced<String>| {
            let parsed = GithubRepository::parse(&text.value);
            parsed.map_err(|problem| vec![(text.origin, problem.to_string())])
        };
        let repositories = self.report.accept(found.texts(KEY, "api", parse))?;
        if repositories.is_empty() {
            let problem = "has no repositories: name some, or leave the key out for all";
            self.error(&found.origin, problem);
            return None;
        }
        Some(repositories)
    }
}
