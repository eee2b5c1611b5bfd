//! What one mount serves, and under which names.

use std::sync::Arc;

use crate::broker::SessionError;
use crate::model::{BaseCredentials, OidcIdentity, Part, ProfileName, Role, RoleChain, TokenGrant};
use crate::tree::{Contents, TokenFile, TokenFiles};

/// What one mount serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Served {
    /// The roles, in the order of the command line.
    pub roles: Vec<Role>,
    /// The role that is rendered as `[default]` too.
    pub default: Option<ProfileName>,
    /// Keys by way of `config` only.
    pub live_only: bool,
    /// Sections to add to `config`.
    pub include: String,
    /// Whether keys are handed out over HTTP too, to those who have the token of the mount.
    pub endpoint: bool,
    /// Whether there is no role: [`Served::roles`] has a `default` that fails, and nobody is asked
    /// for it.
    pub roleless: bool,
    /// The tokens of services other than AWS, in the order of the configuration.
    pub tokens: Vec<Arc<TokenGrant>>,
    /// The parts that readers may be limited to, by view; `None` for all. Without any there is one
    /// view of all.
    pub views: Vec<Option<Part>>,
    /// Why none of the roles is served; nobody is asked for their sessions then, because it is not
    /// known what they are.
    pub failing: Option<SessionError>,
}

/// One section: a role under its own name, or the role of `[default]`.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// The section's name.
    pub(super) name: ProfileName,
    /// The role, by its place in [`Served::roles`].
    pub(super) role: usize,
}

/// What readers of a view are shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// By their places among the sections.
    pub(super) sections: Vec<usize>,
    /// By their places in [`Served::tokens`].
    pub(super) tokens: Vec<usize>,
}

impl Served {
    /// What the tree of the mount has: its profiles, `default` first.
    pub fn contents(&self) -> Contents {
        let names = self.sections().into_iter().map(|section| section.name.to_string());
        let tokens = self.tokens.iter().map(|grant| TokenFiles {
            kind: grant.kind(),
            name: grant.own_name().to_owned(),
            files: token_files(grant),
        });
        Contents { profiles: names.collect(), endpoint: self.endpoint, tokens: tokens.collect() }
    }

    /// The token that is called so, as in `github/OWNER`.
    pub fn token(&self, name: &str) -> Option<&Arc<TokenGrant>> {
        self.tokens.iter().find(|grant| grant.name() == name)
    }

    /// The chains of all roles, as far as they are served.
    pub fn chains(&self) -> Vec<Arc<RoleChain>> {
        let nothing = self.failing.is_some() || self.roleless;
        let served = if nothing { &[] } else { &self.roles[..] };
        served.iter().map(|role| role.chain.clone()).collect()
    }

    /// The tokens, as far as they are served.
    pub fn grants(&self) -> &[Arc<TokenGrant>] {
        if self.failing.is_some() { &[] } else { &self.tokens }
    }

    /// The identities that somebody has to be logged in with for roles and tokens.
    pub fn identities(&self) -> Vec<Arc<OidcIdentity>> {
        let roles = self.roles.iter().filter_map(|role| role.chain.identity());
        roles.chain(self.grants().iter().map(|grant| grant.identity())).cloned().collect()
    }

    /// The role that readers see under this name.
    pub fn role(&self, profile: &str) -> Option<&Role> {
        let found = self.roles.iter().find(|role| role.profile.as_str() == profile);
        found.filter(|_| !self.roleless)
    }

    /// What stands in the place of the roles of a mount that has none. AWS clients take a mount
    /// without any profile for "no credentials here", and go on to those of the instance.
    pub fn no_role() -> Vec<Role> {
        let role = |profile: ProfileName| Role {
            chain: Arc::new(RoleChain {
                base: BaseCredentials::Profile(profile.to_string()),
                hops: Vec::new(),
            }),
            profile,
            region: None,
            settings: Vec::new(),
        };
        ProfileName::parse("default").into_iter().map(role).collect()
    }

    /// What each view shows. A view has `[default]` if it has the role behind it.
    pub(super) fn views(&self, sections: &[Section]) -> Vec<Shown> {
        let all = [None];
        let views = if self.views.is_empty() { &all[..] } else { &self.views };
        let shown = |part: &Option<Part>| {
            let has_role = |section: &Section| {
                let profile = &self.roles[section.role].profile;
                part.as_ref().is_none_or(|part| part.roles.contains(profile))
            };
            let has_token = |grant: &Arc<TokenGrant>| {
                part.as_ref().is_none_or(|part| part.tokens.contains(&grant.name()))
            };
            Shown { sections: places(sections, has_role), tokens: places(&self.tokens, has_token) }
        };
        views.iter().map(shown).collect()
    }

    /// All sections, `default` first.
    pub(super) fn sections(&self) -> Vec<Section> {
        let by_name = |name: &ProfileName| self.roles.iter().position(|role| role.profile == *name);
        let default = self.default.as_ref().and_then(by_name);
        let name = ProfileName::parse("default").ok();
        let alias = name.filter(|name| by_name(name).is_none()).zip(default);
        let alias = alias.map(|(name, role)| Section { name, role });
        let own = self.roles.iter().enumerate();
        let own = own.map(|(role, it)| Section { name: it.profile.clone(), role });
        alias.into_iter().chain(own).collect()
    }
}

fn places<T>(all: &[T], is_shown: impl Fn(&T) -> bool) -> Vec<usize> {
    let numbered = all.iter().enumerate();
    numbered.filter(|(_, it)| is_shown(it)).map(|(index, _)| index).collect()
}

/// The files of a token.
pub(super) fn token_files(grant: &TokenGrant) -> &'static [TokenFile] {
    match grant {
        TokenGrant::Github(_) => &[TokenFile::Error, TokenFile::GitCredentials, TokenFile::Token],
        TokenGrant::Ssh(_) => &[TokenFile::Error, TokenFile::SshKey, TokenFile::SshCertificate],
        TokenGrant::WebIdentity(_) => &[TokenFile::Error, TokenFile::Token],
    }
}
