//! A role as somebody configured it: loose keys → one checked [`RoleSpec`].

use std::time::Duration;

use super::attributes::{self, AttributeSpec};
use super::error::{Origin, Report};
use super::layer::Sourced;
use super::raw::{Problems, Raw};
use super::value;
use crate::model::{
    AccountId, ExternalId, NameError, Partition, RegionName, RoleArn, SessionNameTemplate,
};

/// The keys of a role, in the order in which messages list them.
pub(super) const ROLE_KEYS: [&str; 14] = [
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
];

/// A role as a file or variable holds it: every key checked to be one of [`ROLE_KEYS`].
#[derive(Debug)]
pub(super) struct RawRole {
    /// The NAME of `[roles.NAME]`.
    pub(super) name: String,
    /// Where the role begins.
    pub(super) origin: Origin,
    /// Its keys, in order.
    pub(super) values: Vec<(String, Sourced<Raw>)>,
}

/// A configured role, checked for itself; what it refers to is looked up later.
#[derive(Debug, Clone)]
pub(super) struct RoleSpec {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) target: Target,
    pub(super) region: Option<Sourced<RegionName>>,
    pub(super) session_duration: Option<Sourced<Duration>>,
    pub(super) external_id: Option<Sourced<ExternalId>>,
    pub(super) session_name: Option<Sourced<SessionNameTemplate>>,
    pub(super) attributes: AttributeSpec,
    pub(super) source_profile: Option<Sourced<String>>,
    pub(super) source_role: Option<Sourced<String>>,
}

/// Which role is meant.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// By its ARN.
    Arn(RoleArn),
    /// By account and name; the partition follows from the region.
    Account(AccountId, String),
}

impl Target {
    /// The ARN, once the region is known.
    pub(super) fn arn(&self, region: Option<&RegionName>) -> RoleArn {
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
    pub(super) fn check(raw: &RawRole, report: &mut Report) -> Option<Self> {
        let mut keys = Keys { raw, report, clean: true };
        let target = keys.target();
        let region = keys.parsed("region", |_, text| RegionName::parse(text));
        let session_duration = keys.parsed("session_duration", value::session_duration);
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
        if let (Some(_), Some(role)) = (&source_profile, &source_role) {
            keys.error(
                &role.origin,
                "has both source_profile and source_role: keep the one whose credentials may \
                 assume it",
            );
        }
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
        })
    }
}

/// All configured roles by name.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// The roles that can be used, in order.
    pub(super) roles: Vec<RoleSpec>,
    /// The names of those that cannot, whose errors are in the report.
    broken: Vec<String>,
}

impl Catalog {
    /// Checks all. Of two with one name the first counts, as the caller orders them:
    /// `CREDMOUNT_ROLES`, file, `AWS_AUTH_ROLES`. The other is checked too: a mistake does not
    /// become right by being unused.
    pub(super) fn check(raw: &[RawRole], report: &mut Report) -> Self {
        let mut catalog = Self::default();
        for role in raw {
            match RoleSpec::check(role, report) {
                Some(spec) if catalog.find(&spec.name).is_none() => catalog.roles.push(spec),
                Some(_) => {}
                None => catalog.broken.push(role.name.clone()),
            }
        }
        catalog
    }

    /// The role of this name.
    pub(super) fn find(&self, name: &str) -> Option<&RoleSpec> {
        self.roles.iter().find(|spec| spec.name == name)
    }

    /// Whether a role of this name is configured, but wrong.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|broken| broken == name)
    }

    /// The names of the roles that can be used, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|spec| spec.name.as_str())
    }
}

/// The keys of one role while they are checked.
struct Keys<'a> {
    raw: &'a RawRole,
    report: &'a mut Report,
    clean: bool,
}

impl Keys<'_> {
    fn error(&mut self, origin: &Origin, problem: impl std::fmt::Display) {
        self.clean = false;
        self.report.error(origin, format!("role {} {problem}", value::shown(&self.raw.name)));
    }

    /// The text of `key`, if it stands there.
    fn text(&mut self, key: &str) -> Option<Sourced<String>> {
        let (_, found) = self.raw.values.iter().find(|(name, _)| name == key)?;
        let example = match key {
            "account_id" => "123456789012",
            "session_duration" => "1h",
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
        let (_, found) = self.raw.values.iter().find(|(name, _)| name == key)?;
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

    /// Which role it is: by ARN or by account and name, and both must agree.
    fn target(&mut self) -> Option<Target> {
        let has = |key| self.raw.values.iter().any(|(name, _)| name == key);
        let (has_arn, has_account, has_name) =
            (has("role_arn"), has("account_id"), has("role_name"));
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
                let (wrong, right) = (value::shown(&role_name.value), arn.role_name());
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

/// The message about a key that is none of ours.
pub(super) fn unknown_key<'a>(
    key: &str,
    place: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let advice = match value::meant(key, known.clone()) {
        Some(name) => format!("did you mean `{name}`? All"),
        None => "the".to_owned(),
    };
    let known: Vec<&str> = known.into_iter().collect();
    format!(
        "unknown key {} {place}: {advice} keys there are {}",
        value::shown(key),
        known.join(", ")
    )
}
