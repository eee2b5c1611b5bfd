//! `[identities.NAME]`: at which issuers people log in. And the tokens that roles name: files,
//! commands, identities.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::values::{Origin, Report, Sourced, Table, listed, meant, paths, shown};
use crate::model::{OidcIdentity, ServiceUrl, TokenSource};

/// The keys of `[identities.NAME]`, in the order in which messages list them.
pub(in crate::config) const IDENTITY_KEYS: [&str; 6] =
    ["type", "issuer", "client_id", "scope", "audience", "token_url"];

/// The keys of a role that name a token.
pub(in crate::config) const TOKEN_KEYS: [&str; 3] =
    ["web_identity_token_file", "web_identity_process", "identity"];

/// What is asked for where `scope` says nothing: an ID token.
const DEFAULT_SCOPE: &str = "openid";

/// Where Vouch gives the token for AWS, below its issuer.
const VOUCH_TOKEN_PATH: &str = "/v1/credentials/aws/token";

/// Where Vouch gives tokens for GitHub, below its issuer.
const VOUCH_GITHUB_PATH: &str = "/v1/credentials/github/token";

/// The role that Vouch's users are told to set.
const VOUCH_ROLE: &str = "AWS_ROLE_ARN";

/// All identities by name, and what tokens need to know of their surroundings.
pub(in crate::config) struct IdentityCatalog<'a> {
    identities: Vec<(Arc<OidcIdentity>, Kind)>,
    /// The names of those that cannot be used, whose errors are in the report.
    broken: Vec<String>,
    environment: &'a BTreeMap<String, String>,
    home: Option<&'a str>,
}

/// What `type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OidcDevice,
    Vouch,
}

impl<'a> IdentityCatalog<'a> {
    /// Checks all.
    pub(in crate::config) fn check(
        raw: &[Table],
        environment: &'a BTreeMap<String, String>,
        home: Option<&'a str>,
        report: &mut Report,
    ) -> Self {
        let mut catalog = Self { identities: Vec::new(), broken: Vec::new(), environment, home };
        for identity in raw {
            let mut keys = Keys { raw: identity, environment, report, clean: true };
            let found = keys.identity();
            match found.filter(|_| keys.clean) {
                Some(found) => catalog.identities.push(found),
                None => catalog.broken.push(identity.name.clone()),
            }
        }
        catalog
    }

    /// The token that `text`, the value of one of [`TOKEN_KEYS`], means; `None` if it is one of
    /// which the report has an error already.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::config) fn token(
        &self,
        key: &str,
        text: &str,
    ) -> Result<Option<TokenSource>, String> {
        match key {
            "web_identity_token_file" => {
                paths::absolute(key, text, self.home).map(|path| Some(TokenSource::File(path)))
            }
            "web_identity_process" if text.trim().is_empty() => {
                Err("web_identity_process is empty: write a command that prints a token".to_owned())
            }
            "web_identity_process" => Ok(Some(TokenSource::Process(text.to_owned()))),
            _ => Ok(self.named(text)?.map(|identity| TokenSource::Identity(identity.clone()))),
        }
    }

    /// The identity of this name; `None` if it is one of which the report has an error already.
    ///
    /// # Errors
    /// If there is none.
    pub(in crate::config) fn named(
        &self,
        name: &str,
    ) -> Result<Option<&Arc<OidcIdentity>>, String> {
        match self.find(name) {
            Some((identity, _)) => Ok(Some(identity)),
            None if self.is_broken(name) => Ok(None),
            None => Err(self.unknown(name)),
        }
    }

    /// Where an identity is given tokens for GitHub when nothing says so.
    pub(in crate::config) fn github_url(&self, identity: &OidcIdentity) -> Option<ServiceUrl> {
        let (identity, kind) = self.find(&identity.name)?;
        (*kind == Kind::Vouch).then(|| identity.issuer.join(VOUCH_GITHUB_PATH))
    }

    /// The first identity that the variables of Vouch are about.
    pub(in crate::config) fn of_vouch(&self) -> Option<&Arc<OidcIdentity>> {
        let found = self.identities.iter().find(|(_, kind)| *kind == Kind::Vouch);
        found.map(|(identity, _)| identity)
    }

    /// The role that one assumes with an identity when nothing names another.
    pub(in crate::config) fn role_of(&self, name: &str) -> Option<Sourced<String>> {
        let (_, kind) = self.find(name)?;
        let arn = self.environment.get(VOUCH_ROLE).filter(|_| *kind == Kind::Vouch)?;
        Some(Sourced::new(arn.clone(), Origin::variable(VOUCH_ROLE)))
    }

    /// Whether an identity of this name is configured, but wrong.
    pub(in crate::config) fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|broken| broken == name)
    }

    fn find(&self, name: &str) -> Option<&(Arc<OidcIdentity>, Kind)> {
        self.identities.iter().find(|(identity, _)| identity.name == name)
    }

    fn unknown(&self, name: &str) -> String {
        let names = || self.identities.iter().map(|(identity, _)| identity.name.as_str());
        let advice = match meant(name, names()) {
            Some(name) => format!("did you mean {}?", shown(name)),
            None if names().next().is_some() => format!("there are {}", listed(names())),
            None => "write [identities.NAME] with its type and issuer".to_owned(),
        };
        format!("identity {} is not configured: {advice}", shown(name))
    }
}

/// The keys of one identity while they are checked.
struct Keys<'a> {
    raw: &'a Table,
    environment: &'a BTreeMap<String, String>,
    report: &'a mut Report,
    clean: bool,
}

impl Keys<'_> {
    fn error(&mut self, origin: &Origin, problem: impl std::fmt::Display) {
        self.clean = false;
        self.report.error(origin, format!("identity {} {problem}", shown(&self.raw.name)));
    }

    /// The identity, or what is wrong in the report.
    fn identity(&mut self) -> Option<(Arc<OidcIdentity>, Kind)> {
        self.check_name();
        let kind = self.kind();
        let is_vouch = kind == Some(Kind::Vouch);
        let issuer = self.required("issuer", is_vouch.then_some("VOUCH_ISSUER"));
        let issuer = issuer.and_then(|issuer| self.url("issuer", &issuer));
        let client_id = self.required("client_id", is_vouch.then_some("VOUCH_CLIENT_ID"));
        let client_id = client_id.and_then(|text| self.visible("client_id", text));
        let scope = self.text("scope").and_then(|text| self.visible("scope", text));
        let audience = self.text("audience").and_then(|text| self.visible("audience", text));
        let token_url = self.text("token_url").and_then(|text| self.url("token_url", &text));
        let (kind, issuer) = (kind?, issuer?);
        let own = is_vouch.then(|| issuer.join(VOUCH_TOKEN_PATH));
        let identity = OidcIdentity {
            name: self.raw.name.clone(),
            token_url: token_url.or(own),
            issuer,
            client_id: client_id?,
            scope: scope.unwrap_or_else(|| DEFAULT_SCOPE.to_owned()),
            audience,
        };
        Some((Arc::new(identity), kind))
    }

    fn check_name(&mut self) {
        let name = &self.raw.name;
        let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || !name.chars().all(legal) || name.len() > 64 {
            let origin = self.raw.origin.clone();
            self.error(
                &origin,
                "has a name that is hard to type: use letters, digits, _ - and ., at most 64, and \
                 begin with a letter or digit",
            );
        }
    }

    fn kind(&mut self) -> Option<Kind> {
        const ADVICE: &str = "write type = \"oidc-device\" or \"vouch\"";
        if !self.raw.has("type") {
            let origin = self.raw.origin.clone();
            self.error(&origin, format!("has no type: {ADVICE}"));
            return None;
        }
        let found = self.text("type")?;
        match found.value.as_str() {
            "oidc-device" => Some(Kind::OidcDevice),
            "vouch" => Some(Kind::Vouch),
            other => {
                let problem = format!("has the unknown type {}: {ADVICE}", shown(other));
                self.error(&found.origin, problem);
                None
            }
        }
    }

    /// The text of a key, else of a variable.
    fn required(&mut self, key: &str, variable: Option<&str>) -> Option<Sourced<String>> {
        if self.raw.has(key) {
            return self.text(key);
        }
        let found = variable.and_then(|name| Some((name, self.environment.get(name)?)));
        if let Some((name, text)) = found.filter(|(_, text)| !text.is_empty()) {
            return Some(Sourced::new(text.clone(), Origin::variable(name)));
        }
        let or = variable.map(|name| format!(", or set {name}")).unwrap_or_default();
        let origin = self.raw.origin.clone();
        self.error(&origin, format!("has no {key}: add it{or}"));
        None
    }

    /// The text of `key`, if it stands there.
    fn text(&mut self, key: &str) -> Option<Sourced<String>> {
        let found = self.raw.find(key)?;
        let example = match key {
            "type" => "oidc-device",
            "issuer" | "token_url" => "https://issuer.example.com",
            "scope" => "openid",
            _ => "…",
        };
        match found.value.text(key, example) {
            Ok(text) => Some(Sourced::new(text.to_owned(), found.origin.clone())),
            Err(problem) => {
                self.error(&found.origin.clone(), format!("has a wrong key: {problem}"));
                None
            }
        }
    }

    fn url(&mut self, key: &str, text: &Sourced<String>) -> Option<ServiceUrl> {
        match ServiceUrl::parse(&text.value) {
            Ok(url) => Some(url),
            Err(problem) => {
                self.error(&text.origin, format!("cannot be used: {key}: {problem}"));
                None
            }
        }
    }

    /// A text that is not empty and can be printed.
    fn visible(&mut self, key: &str, text: Sourced<String>) -> Option<String> {
        let fits = |c: char| c.is_ascii_graphic() || c == ' ';
        if !text.value.trim().is_empty() && text.value.chars().all(fits) {
            return Some(text.value);
        }
        let found = shown(&text.value);
        let problem = format!("cannot be used: {key} {found} is empty or no printable ASCII");
        self.error(&text.origin, problem);
        None
    }
}
