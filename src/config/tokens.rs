//! `[github.OWNER]`, and which tokens a mount shows: `tokens`, as names of their directories below
//! `credmount/`.
//!
//! 1. A mount that says `tokens` shows these.
//! 2. One that says nothing of tokens and nothing of roles shows all of `[github.OWNER]`, as it
//!    serves all configured roles.
//! 3. One that says which roles it serves, but nothing of tokens, shows none: who has picked what
//!    readers get is not given more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{Origin, Report};
use super::identities::IdentityCatalog;
use super::layer::Sourced;
use super::options::Options;
use super::raw::Raw;
use super::value::{listed, meant, shown};
use crate::model::{
    GithubGrant, GithubOwner, GithubRepository, HostName, OidcIdentity, ServiceUrl, TokenGrant,
};

/// The keys of `[github.OWNER]`, in the order in which messages list them.
pub(super) const GITHUB_KEYS: [&str; 4] = ["identity", "repositories", "token_url", "host"];

/// What users of Vouch are told to set, in place of a table.
const OWNER_VARIABLE: &str = "GITHUB_OWNER";

/// Where git uses a token when nothing says otherwise.
const DEFAULT_HOST: &str = "github.com";

/// What stands before the name of an identity whose own token is to be shown.
const WEB_IDENTITY: &str = "web-identity/";

/// A table `[github.OWNER]`: every key checked to be one of [`GITHUB_KEYS`].
#[derive(Debug)]
pub(super) struct RawGithub {
    /// The OWNER.
    pub(super) owner: String,
    /// Where the table begins.
    pub(super) origin: Origin,
    /// Its keys, in order.
    pub(super) values: Vec<(String, Sourced<Raw>)>,
}

/// All tokens that mounts may show.
pub(super) struct TokenCatalog<'a> {
    github: Vec<Arc<TokenGrant>>,
    /// The names of those that cannot be used, whose errors are in the report.
    broken: Vec<String>,
    identities: &'a IdentityCatalog<'a>,
}

impl<'a> TokenCatalog<'a> {
    /// Checks all.
    pub(super) fn check(
        raw: &[RawGithub],
        identities: &'a IdentityCatalog<'a>,
        environment: &BTreeMap<String, String>,
        report: &mut Report,
    ) -> Self {
        let mut catalog = Self { github: Vec::new(), broken: Vec::new(), identities };
        for table in raw {
            match (Keys { raw: table, identities, report }).grant() {
                Some(grant) => catalog.github.push(Arc::new(TokenGrant::Github(grant))),
                None => catalog.broken.push(format!("github/{}", table.owner)),
            }
        }
        let owner = environment.get(OWNER_VARIABLE).filter(|owner| !owner.is_empty());
        if let (true, Some(owner), Some(identity)) = (raw.is_empty(), owner, identities.of_vouch())
        {
            let origin = Origin::variable(OWNER_VARIABLE);
            if let Some(owner) = report.check(&origin, GithubOwner::parse(owner)) {
                let grant = of_owner(owner, identity, identities);
                catalog.github.extend(grant.map(|it| Arc::new(TokenGrant::Github(it))));
            }
        }
        catalog
    }

    /// What a mount with these options shows.
    pub(super) fn served(&self, options: &Options, report: &mut Report) -> Vec<Arc<TokenGrant>> {
        let Some(asked) = &options.tokens else {
            let all = options.roles.is_empty() && !options.no_roles;
            return if all { self.github.clone() } else { Vec::new() };
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
        let found = self.github.iter().find(|grant| grant.name() == name);
        if found.is_some() || self.broken.iter().any(|broken| broken == name) {
            return Ok(found.cloned());
        }
        let names: Vec<String> = self.github.iter().map(|grant| grant.name()).collect();
        let names = || names.iter().map(String::as_str);
        let advice = match meant(name, names()) {
            Some(name) => format!("did you mean {}?", shown(name)),
            None if names().next().is_some() => {
                format!("there are {} and web-identity/NAME of an identity", listed(names()))
            }
            None => "write github/OWNER and a table [github.OWNER], or web-identity/NAME of an \
                     identity"
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
    raw: &'a RawGithub,
    identities: &'a IdentityCatalog<'a>,
    report: &'a mut Report,
}

impl Keys<'_> {
    /// The grant, or what is wrong in the report.
    fn grant(&mut self) -> Option<GithubGrant> {
        let owner = self.report.check(&self.raw.origin, GithubOwner::parse(&self.raw.owner));
        let identity = self.identity();
        let token_url = self.checked("token_url", "https://…", ServiceUrl::parse);
        let host = self.checked("host", DEFAULT_HOST, HostName::parse);
        let repositories = self.repositories();
        let identity = identity?;
        let token_url = match token_url? {
            Some(url) => Some(url),
            None => self.identities.github_url(&identity).or_else(|| {
                let problem = "has no token_url: only identities of type \"vouch\" know where to \
                               ask for a token";
                self.error(&self.raw.origin, problem);
                None
            }),
        };
        Some(GithubGrant {
            identity,
            owner: owner?,
            repositories: repositories?,
            token_url: token_url?,
            host: host?.or_else(|| HostName::parse(DEFAULT_HOST).ok())?,
        })
    }

    fn error(&mut self, origin: &Origin, problem: impl std::fmt::Display) {
        self.report.error(origin, format!("GitHub owner {} {problem}", shown(&self.raw.owner)));
    }

    fn identity(&mut self) -> Option<Arc<OidcIdentity>> {
        let raw = self.raw;
        let Some((_, found)) = raw.values.iter().find(|(name, _)| name == "identity") else {
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
        let Some((_, found)) = self.raw.values.iter().find(|(name, _)| name == key) else {
            return Some(None);
        };
        let text = self.report.check(&found.origin, found.value.text(key, example))?;
        self.report.check(&found.origin, parse(text)).map(Some)
    }

    /// An empty list would mean all, which nobody writes so.
    fn repositories(&mut self) -> Option<Vec<GithubRepository>> {
        const KEY: &str = "repositories";
        let raw = self.raw;
        let Some((_, found)) = raw.values.iter().find(|(name, _)| name == KEY) else {
            return Some(Vec::new());
        };
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
