//! Roles and profiles that refer to one another → flat chains: base credentials and hops.
//!
//! 1. A configured role is assumed with its `source_role`, else its `source_profile`, else the
//!    `source_profile` for all, else the standard chain.
//! 2. An AWS profile with `role_arn` is assumed with its `source_profile` or `credential_source`;
//!    any other profile is base credentials, which the AWS SDK resolves. So is a profile that is
//!    its own `source_profile`: only the SDK may read the static keys that stand in it.
//! 3. What AWS calls chained, a role assumed with a role session, lasts one hour at most.

use std::time::Duration;

use super::error::{Origin, Report};
use super::layer::Sourced;
use super::options::Options;
use super::profiles::{Profile, Profiles};
use super::regions::Regions;
use super::settings::DEFAULT_SESSION_DURATION;
use super::spec::{Catalog, RoleSpec, Target};
use super::value::{self, listed, meant, shown};
use crate::model::{
    BaseCredentials, ExternalId, RegionName, RoleArn, RoleChain, RoleHop, RoleSessionName,
};

/// The longest chain. AWS has no limit; people have.
const MOST_HOPS: usize = 16;

/// Below this, readers that keep keys for 15 minutes may use dead ones.
const SHORT_SESSION: Duration = Duration::from_mins(30);

/// Everything a chain may refer to.
#[derive(Debug)]
pub(super) struct Chains<'a> {
    pub(super) options: &'a Options,
    pub(super) catalog: &'a Catalog,
    pub(super) profiles: &'a Profiles,
    pub(super) regions: Regions<'a>,
}

/// A chain with what its roles need to know.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) chain: RoleChain,
    /// The region for `config`.
    pub(super) region: Option<RegionName>,
    /// The AWS profile whose settings readers get.
    pub(super) settings_profile: Option<String>,
    /// Whether the base credentials are known to be a role session.
    base_is_role: bool,
    /// The region of the profile that assumes, for the next hop.
    source_region: Option<Sourced<RegionName>>,
}

/// What one AssumeRole call is made of, before defaults.
struct HopSpec<'a> {
    /// What to call it in messages.
    subject: &'a str,
    origin: &'a Origin,
    target: Target,
    region: Option<Sourced<RegionName>>,
    session_duration: Option<Sourced<Duration>>,
    external_id: Option<Sourced<ExternalId>>,
    session_name: Option<Sourced<RoleSessionName>>,
}

/// The way from the role that is served to the one looked at, to find loops.
type Trail = Vec<String>;

impl Chains<'_> {
    /// The chain of a configured role that is served.
    pub(super) fn of_role(&self, spec: &RoleSpec, report: &mut Report) -> Option<Built> {
        self.role(spec, &mut Trail::new(), report)
    }

    /// The chain of an AWS profile that is served.
    pub(super) fn of_profile(&self, profile: &Profile, report: &mut Report) -> Option<Built> {
        self.profile(profile, &mut Trail::new(), report)
    }

    /// The chain of a bare ARN that is served.
    pub(super) fn of_arn(
        &self,
        arn: RoleArn,
        origin: &Origin,
        report: &mut Report,
    ) -> Option<Built> {
        let source = self.options.source_profile.first();
        let built = self.source_profile(source, &mut vec![arn.to_string()], report)?;
        let hop = HopSpec {
            subject: &format!("role {}", shown(arn.as_str())),
            origin,
            target: Target::Arn(arn.clone()),
            region: None,
            session_duration: None,
            external_id: None,
            session_name: None,
        };
        self.append(built, hop, true, report)
    }

    fn role(&self, spec: &RoleSpec, trail: &mut Trail, report: &mut Report) -> Option<Built> {
        self.step(format!("role {}", shown(&spec.name)), &spec.origin, trail, report)?;
        let built = if let Some(source) = &spec.source_role {
            let Some(found) = self.catalog.find(&source.value) else {
                if !self.catalog.is_broken(&source.value) {
                    report.error(&source.origin, self.no_source_role(&spec.name, &source.value));
                }
                return None;
            };
            self.role(found, trail, report)?
        } else {
            let common = self.options.source_profile.first();
            self.source_profile(spec.source_profile.as_ref().or(common), trail, report)?
        };
        let hop = HopSpec {
            subject: &format!("role {}", shown(&spec.name)),
            origin: &spec.origin,
            target: spec.target.clone(),
            region: spec.region.clone(),
            session_duration: spec.session_duration.clone(),
            external_id: spec.external_id.clone(),
            session_name: spec.session_name.clone(),
        };
        trail.pop();
        self.append(built, hop, trail.is_empty(), report)
    }

    /// The chain of a source profile, or the standard chain without one.
    fn source_profile(
        &self,
        source: Option<&Sourced<String>>,
        trail: &mut Trail,
        report: &mut Report,
    ) -> Option<Built> {
        let Some(source) = source else {
            return Some(Built::base(BaseCredentials::DefaultChain, false, "default", None));
        };
        let Some(profile) = self.profiles.find(&source.value) else {
            report.error(&source.origin, self.profiles.missing(&source.value));
            return None;
        };
        self.profile(profile, trail, report)
    }

    fn profile(&self, profile: &Profile, trail: &mut Trail, report: &mut Report) -> Option<Built> {
        let subject = format!("profile {}", shown(&profile.name));
        self.step(subject.clone(), &profile.origin, trail, report)?;
        if !profile.check_lines(report) {
            return None;
        }
        let region = checked(profile, "region", report, RegionName::parse);
        let role_arn = profile.value("role_arn");
        let source = profile.value("source_profile");
        let own_source = source.as_ref().is_some_and(|source| source.value == profile.name);
        let by_sdk = profile.property("web_identity_token_file").is_some() || own_source;
        let Some(role_arn) = role_arn.filter(|_| !by_sdk) else {
            trail.pop();
            let mut built = self.base_profile(profile, region, report)?;
            if trail.is_empty() {
                let own = built.source_region.as_ref();
                built.region = self.regions.of_base(own).map(|found| found.value.clone());
            }
            return Some(built);
        };
        if let Some((origin, _)) = profile.property("mfa_serial") {
            report.error(
                origin,
                format!(
                    "{subject} wants MFA, which this version cannot ask for: take a session with \
                     MFA elsewhere, and name its profile as source_profile of a role without \
                     mfa_serial"
                ),
            );
            return None;
        }
        let built = self.profile_source(profile, source, trail, report)?;
        let arn = report.check(&role_arn.origin, RoleArn::parse(&role_arn.value))?;
        let hop = HopSpec {
            subject: &subject,
            origin: &role_arn.origin,
            target: Target::Arn(arn),
            region: region.clone(),
            session_duration: checked(profile, "duration_seconds", report, value::duration_seconds),
            external_id: checked(profile, "external_id", report, ExternalId::parse),
            session_name: checked(profile, "role_session_name", report, RoleSessionName::parse),
        };
        trail.pop();
        let mut built = self.append(built, hop, trail.is_empty(), report)?;
        built.settings_profile = Some(profile.name.clone());
        built.source_region = region;
        Some(built)
    }

    /// What an AWS profile with `role_arn` is assumed with.
    fn profile_source(
        &self,
        profile: &Profile,
        source: Option<Sourced<String>>,
        trail: &mut Trail,
        report: &mut Report,
    ) -> Option<Built> {
        let subject = shown(&profile.name);
        match (source, profile.value("credential_source")) {
            (Some(source), None) => self.source_profile(Some(&source), trail, report),
            (None, Some(source)) => {
                let (base, is_role) = match source.value.to_ascii_lowercase().as_str() {
                    "environment" => (BaseCredentials::Environment, false),
                    "ec2instancemetadata" => (BaseCredentials::Ec2InstanceMetadata, true),
                    "ecscontainer" => (BaseCredentials::EcsContainer, true),
                    _ => {
                        report.error(
                            &source.origin,
                            format!(
                                "credential_source {} of profile {subject} is unknown: use \
                                 Environment, Ec2InstanceMetadata or EcsContainer",
                                shown(&source.value)
                            ),
                        );
                        return None;
                    }
                };
                Some(Built::base(base, is_role, &profile.name, None))
            }
            (Some(_), Some(source)) => {
                report.error(
                    &source.origin,
                    format!(
                        "profile {subject} has both source_profile and credential_source: keep one"
                    ),
                );
                None
            }
            (None, None) => {
                report.error(
                    &profile.origin,
                    format!(
                        "profile {subject} has role_arn but nothing to assume it with: add \
                         source_profile or credential_source"
                    ),
                );
                None
            }
        }
    }

    /// A profile whose credentials the AWS SDK resolves.
    fn base_profile(
        &self,
        profile: &Profile,
        region: Option<Sourced<RegionName>>,
        report: &mut Report,
    ) -> Option<Built> {
        let name = &profile.name;
        let base = match (profile.has_credentials(), name.as_str()) {
            (true, _) => BaseCredentials::Profile(name.clone()),
            // What SDKs do with a [default] that says nothing about credentials.
            (false, "default") => BaseCredentials::DefaultChain,
            (false, _) => {
                report.error(
                    &profile.origin,
                    format!(
                        "profile {} holds no credentials: add keys, credential_process, sso_session \
                         or role_arn to it, or name another profile",
                        shown(name)
                    ),
                );
                return None;
            }
        };
        if let Some(duration) = profile.value("duration_seconds")
            && profile.property("role_arn").is_some()
        {
            report.warning(
                &duration.origin,
                format!(
                    "duration_seconds of profile {} has no effect, because the AWS SDK assumes \
                     this role by itself: for a source_profile of the same name, move the keys to \
                     a profile of their own",
                    shown(name)
                ),
            );
        }
        Some(Built::base(base, profile.is_role_session(), name, region))
    }

    /// Notes one step of the way; refuses loops and endless chains.
    fn step(
        &self,
        subject: String,
        origin: &Origin,
        trail: &mut Trail,
        report: &mut Report,
    ) -> Option<()> {
        if let Some(start) = trail.iter().position(|earlier| *earlier == subject) {
            let path = [&trail[start..], &[subject]].concat().join(" -> ");
            report.error(origin, format!("these need one another: {path}; break the loop"));
            return None;
        }
        if trail.len() >= MOST_HOPS {
            let message = format!("{subject} is behind {MOST_HOPS} others: shorten the chain");
            report.error(origin, message);
            return None;
        }
        trail.push(subject);
        Some(())
    }

    /// One more AssumeRole call.
    fn append(
        &self,
        mut built: Built,
        hop: HopSpec<'_>,
        served: bool,
        report: &mut Report,
    ) -> Option<Built> {
        let own = hop.region.as_ref();
        let source = built.source_region.as_ref();
        let hint = self.regions.first(own, source).map(|found| &found.value);
        let previous = built.chain.role_arn().map(RoleArn::partition);
        let role_arn = hop.target.arn(hint);
        let partition = role_arn.partition();
        let subject = hop.subject;
        if let Some(previous) = previous.filter(|previous| *previous != partition) {
            report.error(
                hop.origin,
                format!(
                    "{subject} is in partition {partition}, but is to be assumed from {previous}: \
                     roles cannot be assumed across partitions"
                ),
            );
            return None;
        }
        let region = self.regions.of_role(subject, partition, own, source, report);
        let options = self.options;
        let chained = built.base_is_role || !built.chain.hops.is_empty();
        let duration = options.session_duration.for_role(hop.session_duration.as_ref(), served);
        if let Some(duration) = duration {
            check_duration(subject, duration, chained, served, report);
        }
        built.chain.hops.push(RoleHop {
            role_arn,
            sts_region: region.clone().unwrap_or_else(|| partition.default_sts_region()),
            session_duration: duration.map_or(DEFAULT_SESSION_DURATION, |found| found.value),
            external_id: options
                .external_id
                .for_role(hop.external_id.as_ref(), served)
                .map(|found| found.value.clone()),
            session_name: options
                .session_name
                .for_role(hop.session_name.as_ref(), served)
                .map(|found| found.value.clone()),
        });
        built.region = region;
        Some(built)
    }

    fn no_source_role(&self, role: &str, source: &str) -> String {
        let names = || self.catalog.names();
        let (role, found) = (shown(role), shown(source));
        let advice = if self.profiles.find(source).is_some() {
            format!("{found} is an AWS profile, so write source_profile instead")
        } else if let Some(name) = meant(source, names()) {
            format!("did you mean `{name}`?")
        } else {
            format!("there are {}", listed(names()))
        };
        format!("source_role {found} of role {role} is not configured: {advice}")
    }
}

impl Built {
    fn base(
        base: BaseCredentials,
        base_is_role: bool,
        settings_profile: &str,
        source_region: Option<Sourced<RegionName>>,
    ) -> Self {
        Self {
            chain: RoleChain { base, hops: Vec::new() },
            region: None,
            settings_profile: Some(settings_profile.to_owned()),
            base_is_role,
            source_region,
        }
    }
}

/// The value of a key of an AWS profile, with its error noted.
fn checked<T, E: std::fmt::Display>(
    profile: &Profile,
    key: &str,
    report: &mut Report,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Sourced<T>> {
    let found = profile.value(key)?;
    let value = report.check(&found.origin, parse(&found.value))?;
    Some(Sourced::new(value, found.origin))
}

fn check_duration(
    subject: &str,
    duration: &Sourced<Duration>,
    chained: bool,
    served: bool,
    report: &mut Report,
) {
    let shown = humantime::format_duration(duration.value);
    if chained && duration.value > DEFAULT_SESSION_DURATION {
        report.error(
            &duration.origin,
            format!(
                "{subject} is assumed with the session of another role, for which AWS gives at \
                 most 1h, not {shown}: give it a session_duration of 1h or less"
            ),
        );
    } else if served && duration.value < SHORT_SESSION {
        report.warning(
            &duration.origin,
            format!(
                "sessions of {subject} last {shown}: programs that keep keys for 15 minutes may \
                 use expired ones; 30m or more is safe"
            ),
        );
    }
}
