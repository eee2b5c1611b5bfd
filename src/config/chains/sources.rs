//! From the role that is served back to where its first credentials come from.

use super::hop::HopSpec;
use super::spec::{RoleSpec, Target};
use super::{Built, Chains};
use crate::config::aws::profiles::Profile;
use crate::config::options::attributes::AttributeSpec;
use crate::config::options::mfa::MfaSpec;
use crate::config::values::{Origin, Report, Sourced, listed, meant, shown, text};
use crate::model::{
    BaseCredentials, ExternalId, RegionName, RoleArn, RoleChain, RoleSessionName,
    SessionNameTemplate,
};

/// The longest chain. AWS has no limit; people have.
const MOST_HOPS: usize = 16;

/// The way from the role that is served to the one looked at, to find loops.
type Trail = Vec<String>;

impl Chains<'_> {
    /// The chain of a configured role that is served.
    pub(in crate::config) fn of_role(&self, spec: &RoleSpec, report: &mut Report) -> Option<Built> {
        self.role(spec, &mut Trail::new(), report)
    }

    /// The chain of an AWS profile that is served.
    pub(in crate::config) fn of_profile(
        &self,
        profile: &Profile,
        report: &mut Report,
    ) -> Option<Built> {
        self.profile(profile, &mut Trail::new(), report)
    }

    /// The chain of a bare ARN that is served.
    pub(in crate::config) fn of_arn(
        &self,
        arn: &RoleArn,
        origin: &Origin,
        report: &mut Report,
    ) -> Option<Built> {
        let source = self.options.source_profile.first();
        let built = self.source_profile(source, &mut vec![arn.to_string()], report)?;
        let hop = HopSpec {
            subject: &format!("role {}", shown(arn.as_str())),
            name: arn.role_name(),
            origin,
            target: Target::Arn(arn.clone()),
            region: None,
            session_duration: None,
            external_id: None,
            session_name: None,
            attributes: AttributeSpec::default(),
        };
        hop.append_to(built, self, true, report)
    }

    fn role(&self, spec: &RoleSpec, trail: &mut Trail, report: &mut Report) -> Option<Built> {
        Self::step(format!("role {}", shown(&spec.name)), &spec.origin, MOST_HOPS, trail, report)?;
        let built = if let Some(token) = &spec.token {
            Built::token(token.clone())
        } else if let Some(source) = &spec.source_role {
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
        let subject = format!("role {}", shown(&spec.name));
        let built = spec.mfa.apply(&subject, built, self, report)?;
        let hop = HopSpec {
            subject: &subject,
            name: &spec.name,
            origin: &spec.origin,
            target: spec.target.clone(),
            region: spec.region.clone(),
            session_duration: spec.session_duration.clone(),
            external_id: spec.external_id.clone(),
            session_name: spec.session_name.clone(),
            attributes: spec.attributes.clone(),
        };
        trail.pop();
        hop.append_to(built, self, trail.is_empty(), report)
    }

    /// The chain of a source profile, or the standard chain without one.
    fn source_profile(
        &self,
        source: Option<&Sourced<String>>,
        trail: &mut Trail,
        report: &mut Report,
    ) -> Option<Built> {
        let Some(source) = source else {
            return Some(Built::base(
                BaseCredentials::DefaultChain,
                false,
                self.ambient_profile,
                None,
            ));
        };
        let Some(profile) = self.profiles.find(&source.value) else {
            report.error(&source.origin, self.profiles.missing(&source.value));
            return None;
        };
        self.profile(profile, trail, report)
    }

    fn profile(&self, profile: &Profile, trail: &mut Trail, report: &mut Report) -> Option<Built> {
        let subject = format!("profile {}", shown(&profile.name));
        // What stands at the start of a chain is no hop.
        let is_base = profile.property("role_arn").is_none();
        let most = MOST_HOPS + usize::from(is_base);
        Self::step(subject.clone(), &profile.origin, most, trail, report)?;
        if !profile.check_lines(report) {
            return None;
        }
        let region = checked(profile, "region", report, RegionName::parse);
        let role_arn = profile.value("role_arn");
        let source = profile.value("source_profile");
        let token_file = profile.value("web_identity_token_file");
        let own_source = source.as_ref().filter(|source| source.value == profile.name);
        if role_arn.is_some() && token_file.is_none() {
            Self::check_role_profile(profile, own_source, report)?;
        }
        let by_sdk = own_source.is_some() && token_file.is_none();
        let Some(role_arn) = role_arn.filter(|_| !by_sdk) else {
            trail.pop();
            let built = Self::base_profile(profile, region, report)?;
            let mfa =
                if by_sdk { MfaSpec::default() } else { MfaSpec::of_profile(profile, report)? };
            let mut built = mfa.apply(&subject, built, self, report)?;
            if trail.is_empty() {
                let own = built.source_region.as_ref();
                built.region = self.regions.of_base(own).map(|found| found.value.clone());
            }
            return Some(built);
        };
        // All of it before the first `?`, so that every wrong key is reported.
        let arn = report.check(&role_arn.origin, RoleArn::parse(&role_arn.value));
        let session_duration = checked(profile, "duration_seconds", report, text::duration_seconds);
        let external_id = checked(profile, "external_id", report, ExternalId::parse);
        // Other programs read it too, and know no placeholders.
        let literal = |text: &str| RoleSessionName::parse(text).map(SessionNameTemplate::from);
        let session_name = checked(profile, "role_session_name", report, literal);
        let mfa = MfaSpec::of_profile(profile, report);
        let built = match token_file {
            Some(file) => self.token_file(profile, &file, source.as_ref(), report)?,
            None => self.profile_source(profile, source, trail, report)?,
        };
        let built = mfa?.apply(&subject, built, self, report)?;
        let hop = HopSpec {
            subject: &subject,
            name: &profile.name,
            origin: &role_arn.origin,
            target: Target::Arn(arn?),
            region: region.clone(),
            session_duration,
            external_id,
            session_name,
            attributes: AttributeSpec::default(),
        };
        trail.pop();
        let mut built = hop.append_to(built, self, trail.is_empty(), report)?;
        built.settings_profile = Some(profile.name.clone());
        built.source_region = region;
        Some(built)
    }

    /// Refuses a profile with `role_arn` that cannot work whatever its source is.
    fn check_role_profile(
        profile: &Profile,
        own_source: Option<&Sourced<String>>,
        report: &mut Report,
    ) -> Option<()> {
        let subject = shown(&profile.name);
        if let (Some((origin, _)), Some(_)) = (profile.property("mfa_serial"), own_source) {
            report.error(
                origin,
                format!(
                    "profile {subject} wants MFA and is its own source_profile, so the AWS SDK \
                     assumes the role, which cannot give codes: move the keys to a profile of their \
                     own, and name that as source_profile"
                ),
            );
            return None;
        }
        if let Some(source) = own_source
            && profile.property("aws_access_key_id").is_none()
        {
            report.error(
                &source.origin,
                format!(
                    "profile {subject} is its own source_profile but holds no aws_access_key_id: \
                     add keys to it, or name another source_profile"
                ),
            );
            return None;
        }
        Some(())
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

    /// Notes one step of the way, of which there may be `most`; refuses loops and endless chains.
    fn step(
        subject: String,
        origin: &Origin,
        most: usize,
        trail: &mut Trail,
        report: &mut Report,
    ) -> Option<()> {
        if let Some(start) = trail.iter().position(|earlier| *earlier == subject) {
            let path = [&trail[start..], &[subject]].concat().join(" -> ");
            report.error(origin, format!("these need one another: {path}; break the loop"));
            return None;
        }
        if trail.len() >= most {
            let message = format!("{subject} is behind {MOST_HOPS} others: shorten the chain");
            report.error(origin, message);
            return None;
        }
        trail.push(subject);
        Some(())
    }

    fn no_source_role(&self, role: &str, source: &str) -> String {
        let names = || self.catalog.names();
        let (role, found) = (shown(role), shown(source));
        let advice = if self.profiles.find(source).is_some() {
            format!("{found} is an AWS profile, so write source_profile instead")
        } else if let Some(name) = meant(source, names()) {
            format!("did you mean {}?", shown(name))
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
