//! A role as somebody configured it: loose keys → one checked [`RoleSpec`].

use std::time::Duration;

use crate::config::identities::catalog::{IdentityCatalog, TOKEN_KEYS};
use crate::config::options::attributes::{self, AttributeSpec};
use crate::config::options::mfa::{self, MfaSpec};
use crate::config::values::{Origin, Problems, Raw, Report, Sourced, Table, text};
use crate::model::{
    AccountId, ExternalId, MfaDevice, NameError, Partition, RegionName, RoleArn,
    SessionNameTemplate, TokenSource,
};

/// The keys of a role, in the order in which messages list them.
pub(in crate::config) const ROLE_KEYS: [&str; 20] = [
    "role_arn",
    "account_id",
    "role_name",
    "region",
    "session_duration",
    "external_id",
    "session_name",
    "source_identity",
    "tags",
    "transitive_tag_keys",
    "policy",
    "policy_arns",
    "source_profile",
    "source_role",
    "mfa_serial",
    "mfa_process",
    "mfa_session_duration",
    "web_identity_token_file",
    "web_identity_process",
    "identity",
];

/// A configured role, checked for itself; what it refers to is looked up later.
#[derive(Debug, Clone)]
pub(in crate::config) struct RoleSpec {
    pub(in crate::config) name: String,
    pub(in crate::config) origin: Origin,
    pub(in crate::config) target: Target,
    pub(in crate::config) region: Option<Sourced<RegionName>>,
    pub(in crate::config) session_duration: Option<Sourced<Duration>>,
    pub(in crate::config) external_id: Option<Sourced<ExternalId>>,
    pub(in crate::config) session_name: Option<Sourced<SessionNameTemplate>>,
    pub(in crate::config) attributes: AttributeSpec,
    pub(in crate::config) source_profile: Option<Sourced<String>>,
    pub(in crate::config) source_role: Option<Sourced<String>>,
    pub(in crate::config) mfa: MfaSpec,
    /// The token it is assumed with, in place of credentials.
    pub(in crate::config) token: Option<TokenSource>,
}

/// Which role is meant.
#[derive(Debug, Clone)]
pub(in crate::config) enum Target {
    /// By its ARN.
    Arn(RoleArn),
    /// By account and name; the partition follows from the region.
    Account(AccountId, String),
}

impl Target {
    /// The ARN, once the region is known.
    pub(in crate::config) fn arn(&self, region: Option<&RegionName>) -> RoleArn {
        match self {
            Self::Arn(arn) => arn.clone(),
            Self::Account(account_id, role_name) => {
                let partition = region.and_then(RegionName::partition).unwrap_or(Partition::Aws);
                arn(partition, account_id, role_name)
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "`target` tried the same account and name before")]
fn arn(partition: Partition, account_id: &AccountId, role_name: &str) -> RoleArn {
    RoleArn::new(partition, account_id, role_name).expect("account and name are checked")
}

impl RoleSpec {
    /// Checks every key. `None` when one is wrong; the errors are in the report.
    pub(in crate::config) fn check(
        raw: &Table,
        identities: &IdentityCatalog<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let mut keys = Keys { raw, report, clean: true };
        let token = keys.token(identities);
        let target = keys.target(identities);
        let region = keys.parsed("region", |_, text| RegionName::parse(text));
        let session_duration = keys.parsed("session_duration", text::session_duration);
        let external_id = keys.parsed("external_id", |_, text| ExternalId::parse(text));
        let session_name = keys.parsed("session_name", |_, text| SessionNameTemplate::parse(text));
        let attributes = AttributeSpec {
            source_identity: keys.accepted("source_identity", attributes::source_identity),
            tags: keys.accepted("tags", attributes::tags),
            transitive_tag_keys: keys
                .accepted("transitive_tag_keys", attributes::transitive_tag_keys),
            policy: keys.accepted("policy", attributes::policy),
            policy_arns: keys.accepted("policy_arns", attributes::policy_arns),
        };
        let source_profile = keys.text("source_profile");
        let source_role = keys.text("source_role");
        let mfa = keys.mfa();
        keys.check_single_source();
        if !keys.clean {
            return None;
        }
        Some(Self {
            name: raw.name.clone(),
            origin: raw.origin.clone(),
            target: target?,
            region,
            session_duration,
            external_id,
            session_name,
            attributes,
            source_profile,
            source_role,
            mfa,
            token,
        })
    }
}

/// All configured roles by name.
#[derive(Debug, Default)]
pub(in crate::config) struct Catalog {
    /// The roles that can be used, in order.
    pub(in crate::config) roles: Vec<RoleSpec>,
    /// The names of those that cannot, whose errors are in the report.
    broken: Vec<String>,
}

impl Catalog {
    /// Checks all. Of two with one name the first counts, as the caller orders them:
    /// `CREDMOUNT_ROLES`, file, `AWS_AUTH_ROLES`. The other is checked too: a mistake does not
    /// become right by being unused.
    pub(in crate::config) fn check(
        raw: &[Table],
        identities: &IdentityCatalog<'_>,
        report: &mut Report,
    ) -> Self {
        let mut catalog = Self::default();
        for role in raw {
            match RoleSpec::check(role, identities, report) {
                Some(spec) if catalog.find(&spec.name).is_none() => catalog.roles.push(spec),
                Some(_) => {}
                None => catalog.broken.push(role.name.clone()),
            }
        }
        catalog
    }

    /// The role of this name.
    pub(in crate::config) fn find(&self, name: &str) -> Option<&RoleSpec> {
        self.roles.iter().find(|spec| spec.name == name)
    }

    /// Whether a role of this name is configured, but wrong.
    pub(in crate::config) fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|broken| broken == name)
    }

    /// The names of the roles that can be used, in order.
    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|spec| spec.name.as_str())
    }
}

/// The keys of one role while they are checked.
struct Keys<'a> {
    raw: &'a Table,
    report: &'a mut Report,
    clean: bool,
}

impl Keys<'_> {
    fn error(&mut self, origin: &Origin, problem: impl std::fmt::Display) {
        self.clean = false;
        self.report.error(origin, format!("role {} {problem}", text::shown(&self.raw.name)));
    }

    /// The text of `key`, if it stands there.
    fn text(&mut self, key: &str) -> Option<Sourced<String>> {
        let found = self.raw.find(key)?;
        let example = match key {
            "account_id" => "123456789012",
            "session_duration" | "mfa_session_duration" => "1h",
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

    /// The checked value of `key`, if it stands there.
    fn parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str, &str) -> Result<T, E>,
    ) -> Option<Sourced<T>> {
        let text = self.text(key)?;
        match parse(key, &text.value) {
            Ok(value) => Some(Sourced::new(value, text.origin)),
            Err(problem) => {
                self.error(&text.origin, format!("cannot be used: {problem}"));
                None
            }
        }
    }

    /// The value of `key` with all its parts checked, if it stands there.
    fn accepted<T>(
        &mut self,
        key: &str,
        take: impl Fn(&Sourced<Raw>) -> Result<T, Problems>,
    ) -> Option<Sourced<T>> {
        let found = self.raw.find(key)?;
        match take(found) {
            Ok(value) => Some(Sourced::new(value, found.origin.clone())),
            Err(problems) => {
                for (origin, problem) in problems {
                    self.error(&origin, format!("cannot be used: {problem}"));
                }
                None
            }
        }
    }

    fn mfa(&mut self) -> MfaSpec {
        let serial = self.parsed("mfa_serial", |_, text| MfaDevice::parse(text));
        let process = self.parsed("mfa_process", mfa::process);
        let session_duration = self.parsed("mfa_session_duration", mfa::session_duration);
        let has_serial = self.raw.has("mfa_serial");
        let others =
            [process.as_ref().map(|it| &it.origin), session_duration.as_ref().map(|it| &it.origin)];
        if let (false, Some(origin)) = (has_serial, others.into_iter().flatten().next()) {
            self.error(
                &origin.clone(),
                "says how to get an MFA code, but not of which device: add mfa_serial, or say it \
                 outside of the role, for all",
            );
        }
        MfaSpec { serial, process, session_duration }
    }

    /// The token it is assumed with, if a key says so.
    fn token(&mut self, identities: &IdentityCatalog<'_>) -> Option<TokenSource> {
        let key = TOKEN_KEYS.into_iter().find(|key| self.raw.has(key))?;
        let text = self.text(key)?;
        match identities.token(key, &text.value) {
            Ok(token) => {
                self.clean &= token.is_some();
                token
            }
            Err(problem) => {
                self.error(&text.origin, format!("cannot be used: {problem}"));
                None
            }
        }
    }

    /// Two sources would leave open which of them counts.
    fn check_single_source(&mut self) {
        let sources = ["source_profile", "source_role"].into_iter().chain(TOKEN_KEYS);
        let given: Vec<&str> = sources.filter(|key| self.raw.has(key)).collect();
        let [first, .., second] = given[..] else { return };
        let origin = self.raw.find(second).map_or(&self.raw.origin, |value| &value.origin).clone();
        self.error(
            &origin,
            format!("has both {first} and {second}: keep the one whose credentials may assume it"),
        );
    }

    /// Which role it is: by ARN or by account and name, and both must agree.
    fn target(&mut self, identities: &IdentityCatalog<'_>) -> Option<Target> {
        let (has_arn, has_account, has_name) =
            (self.raw.has("role_arn"), self.raw.has("account_id"), self.raw.has("role_name"));
        let arn = self.parsed("role_arn", |_, text| RoleArn::parse(text));
        let account_id = self.parsed("account_id", |_, text| AccountId::parse(text));
        let role_name = self.parsed("role_name", |_, text| check_role_name(text));
        if has_arn {
            let arn = arn?.value;
            if let Some(account_id) = account_id.filter(|found| found.value != *arn.account_id()) {
                let (wrong, right) = (&account_id.value, arn.account_id());
                self.error(
                    &account_id.origin,
                    format!("has account_id {wrong}, but its role_arn is of account {right}: mend one of them"),
                );
            }
            let path = format!("{}{}", arn.path(), arn.role_name());
            let agrees =
                |name: &str| name == arn.role_name() || name.trim_start_matches('/') == &path[1..];
            if let Some(role_name) = role_name.filter(|found| !agrees(&found.value)) {
                let (wrong, right) = (text::shown(&role_name.value), arn.role_name());
                self.error(
                    &role_name.origin,
                    format!(
                        "has role_name {wrong}, but its role_arn names `{right}`: mend one of them"
                    ),
                );
            }
            return Some(Target::Arn(arn));
        }
        let origin = self.raw.origin.clone();
        match (has_account, has_name) {
            (true, true) => Some(Target::Account(account_id?.value, role_name?.value)),
            (true, false) => {
                self.error(&origin, "has account_id but no role_name: add role_name, or role_arn");
                None
            }
            (false, true) => {
                self.error(&origin, "has role_name but no account_id: add account_id, or role_arn");
                None
            }
            (false, false) => {
                let identity = self.text("identity").map(|name| name.value).unwrap_or_default();
                if identities.is_broken(&identity) {
                    return None;
                }
                if let Some(arn) = identities.role_of(&identity) {
                    let parsed = self.report.check(&arn.origin, RoleArn::parse(&arn.value));
                    self.clean &= parsed.is_some();
                    return parsed.map(Target::Arn);
                }
                self.error(
                    &origin,
                    "does not say which role it is: add role_arn, or account_id and role_name",
                );
                None
            }
        }
    }
}

/// The role name, path included, if it makes an ARN with any account.
fn check_role_name(text: &str) -> Result<String, NameError> {
    let any_account = AccountId::parse("000000000000")?;
    RoleArn::new(Partition::Aws, &any_account, text).map(|_| text.to_owned())
}
