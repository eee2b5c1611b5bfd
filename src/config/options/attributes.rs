//! What sessions carry beside their role: values from all layers → [`SessionAttributes`] of one
//! AssumeRole call.
//!
//! 1. What a role says of itself is in every call that assumes it. What a mount, a flag, a variable
//!    or the top level of the file says is in the last call only, whose session readers get:
//!    a policy meant for readers must not keep us from assuming the next role.
//! 2. A value replaces that of a lower layer as a whole: tags are not merged.
//! 3. What cannot take effect is an error: a policy that nobody applies protects nothing.

use super::OptionKey;
use super::session_policy;
use crate::config::values::{Layered, Origin, Problems, Raw, Report, Sourced, shown};
use crate::model::{PolicyArn, RoleHop, SessionAttributes, SessionTag, SourceIdentity};

/// What one role says of its sessions.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct AttributeSpec {
    pub(in crate::config) source_identity: Option<Sourced<SourceIdentity>>,
    pub(in crate::config) tags: Option<Sourced<Vec<SessionTag>>>,
    pub(in crate::config) transitive_tag_keys: Option<Sourced<Vec<Sourced<String>>>>,
    pub(in crate::config) policy: Option<Sourced<String>>,
    pub(in crate::config) policy_arns: Option<Sourced<Vec<Sourced<PolicyArn>>>>,
}

/// The same options from all layers.
#[derive(Debug)]
pub(in crate::config) struct LayeredAttributes {
    pub(in crate::config) source_identity: Layered<SourceIdentity>,
    pub(in crate::config) tags: Layered<Vec<SessionTag>>,
    pub(in crate::config) transitive_tag_keys: Layered<Vec<Sourced<String>>>,
    pub(in crate::config) policy: Layered<String>,
    pub(in crate::config) policy_arns: Layered<Vec<Sourced<PolicyArn>>>,
}

impl LayeredAttributes {
    /// The attributes of one call in which a role is assumed that says `own`.
    pub(in crate::config) fn for_role(&self, own: &AttributeSpec, served: bool) -> AttributeSpec {
        fn pick<T: Clone>(
            layered: &Layered<T>,
            own: Option<&Sourced<T>>,
            served: bool,
        ) -> Option<Sourced<T>> {
            if served { layered.for_role(own, true) } else { own }.cloned()
        }
        AttributeSpec {
            source_identity: pick(&self.source_identity, own.source_identity.as_ref(), served),
            tags: pick(&self.tags, own.tags.as_ref(), served),
            transitive_tag_keys: pick(
                &self.transitive_tag_keys,
                own.transitive_tag_keys.as_ref(),
                served,
            ),
            policy: pick(&self.policy, own.policy.as_ref(), served),
            policy_arns: pick(&self.policy_arns, own.policy_arns.as_ref(), served),
        }
    }
}

impl AttributeSpec {
    /// Refuses attributes where there is no call to carry them.
    pub(in crate::config) fn refuse(&self, subject: &str, report: &mut Report) {
        // An empty list takes effect everywhere: it takes away what is said for all.
        let tags = self.tags.as_ref().filter(|tags| !tags.value.is_empty());
        let arns = self.policy_arns.as_ref().filter(|arns| !arns.value.is_empty());
        let set = [
            (OptionKey::SourceIdentity, self.source_identity.as_ref().map(|found| &found.origin)),
            (OptionKey::Tags, tags.map(|found| &found.origin)),
            (OptionKey::Policy, self.policy.as_ref().map(|found| &found.origin)),
            (OptionKey::PolicyArns, arns.map(|found| &found.origin)),
        ];
        for (key, origin) in set {
            let Some(origin) = origin else { continue };
            report.error(
                origin,
                format!(
                    "{} cannot take effect on {subject}, which is served with its base credentials \
                     as they are: serve a role that is assumed with them, or leave it out there",
                    key.name()
                ),
            );
        }
    }

    /// Refuses what AssumeRoleWithWebIdentity has no parameter for (STS API).
    pub(in crate::config) fn refuse_with_token(
        &self,
        subject: &str,
        external_id: Option<&Origin>,
        report: &mut Report,
    ) {
        const TAGS: &str = "they come from the claim https://aws.amazon.com/tags of the token";
        let tags = self.tags.as_ref().filter(|tags| !tags.value.is_empty());
        let transitive = self.transitive_tag_keys.as_ref().filter(|keys| !keys.value.is_empty());
        let identity = self.source_identity.as_ref().map(|found| &found.origin);
        let set = [
            (OptionKey::ExternalId, external_id, "leave it out"),
            (
                OptionKey::SourceIdentity,
                identity,
                "it comes from the claim https://aws.amazon.com/source_identity of the token",
            ),
            (OptionKey::Tags, tags.map(|found| &found.origin), TAGS),
            (OptionKey::TransitiveTagKeys, transitive.map(|found| &found.origin), TAGS),
        ];
        for (key, origin, advice) in set {
            let Some(origin) = origin else { continue };
            report.error(
                origin,
                format!(
                    "{} cannot be sent for {subject}, which is assumed with a web identity token: \
                     {advice}",
                    key.name()
                ),
            );
        }
    }

    /// The attributes of one call, checked together with its role. `earlier` are the calls before
    /// it.
    pub(in crate::config) fn session(
        &self,
        subject: &str,
        earlier: &[RoleHop],
        hop: &mut RoleHop,
        report: &mut Report,
    ) {
        self.check_source_identity(subject, earlier, report);
        self.check_partition(subject, hop, report);
        let tags = self.tags.as_ref().map_or(&[][..], |tags| &tags.value);
        let mut attributes = SessionAttributes {
            source_identity: self.source_identity.as_ref().map(|found| found.value.to_string()),
            tags: tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect(),
            transitive_tag_keys: self.transitive_keys(subject, tags, report),
            policy: self.policy.as_ref().map(|found| found.value.clone()),
            policy_arns: self
                .policy_arns
                .iter()
                .flat_map(|arns| arns.value.iter().map(|arn| arn.value.to_string()))
                .collect(),
        };
        // Their order means nothing to AWS, and equal chains share a session.
        attributes.tags.sort();
        attributes.transitive_tag_keys.sort();
        attributes.policy_arns.sort();
        hop.attributes = attributes;
    }

    /// The transitive keys, in the case of their tags.
    fn transitive_keys(
        &self,
        subject: &str,
        tags: &[SessionTag],
        report: &mut Report,
    ) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for key in self.transitive_tag_keys.iter().flat_map(|keys| &keys.value) {
            let folded = SessionTag::folded(&key.value);
            match tags.iter().find(|tag| SessionTag::folded(tag.key()) == folded) {
                Some(tag) if keys.iter().any(|earlier| earlier == tag.key()) => {}
                Some(tag) => keys.push(tag.key().to_owned()),
                None => report.error(
                    &key.origin,
                    format!(
                        "transitive tag {} is none of the tags of {subject}: add it to tags",
                        shown(&key.value)
                    ),
                ),
            }
        }
        keys
    }

    fn check_partition(&self, subject: &str, hop: &RoleHop, report: &mut Report) {
        let partition = hop.role_arn.partition();
        for arn in self.policy_arns.iter().flat_map(|arns| &arns.value) {
            if arn.value.partition() != partition {
                report.error(
                    &arn.origin,
                    format!(
                        "policy {} is in partition {}, but {subject} is in {partition}: name a \
                         policy of {partition}",
                        arn.value,
                        arn.value.partition()
                    ),
                );
            }
        }
    }

    /// A source identity stays through the whole chain (IAM User Guide, "Monitor and control
    /// actions taken with assumed roles").
    fn check_source_identity(&self, subject: &str, earlier: &[RoleHop], report: &mut Report) {
        let before = earlier.iter().find_map(|hop| hop.attributes.source_identity.as_ref());
        if let (Some(own), Some(before)) = (&self.source_identity, before)
            && own.value.as_str() != before
        {
            report.error(
                &own.origin,
                format!(
                    "source_identity of {subject} is {}, but the session that assumes it has {}, \
                     which AWS does not let change: use that one",
                    shown(own.value.as_str()),
                    shown(before)
                ),
            );
        }
    }
}

// One option each: what was written → what is meant.

pub(in crate::config) fn source_identity(raw: &Sourced<Raw>) -> Result<SourceIdentity, Problems> {
    let text = text(OptionKey::SourceIdentity, raw)?;
    SourceIdentity::parse(text).map_err(|error| raw.problem(error.to_string()))
}

pub(in crate::config) fn policy(raw: &Sourced<Raw>) -> Result<String, Problems> {
    let text = text(OptionKey::Policy, raw)?;
    session_policy::compact("policy", text).map_err(|error| raw.problem(error))
}

fn text(key: OptionKey, raw: &Sourced<Raw>) -> Result<&str, Problems> {
    raw.value.text(key.name(), key.example()).map_err(|message| raw.problem(message))
}

pub(in crate::config) fn tags(raw: &Sourced<Raw>) -> Result<Vec<SessionTag>, Problems> {
    let mut keys: Vec<String> = Vec::new();
    let tags = raw.pairs(OptionKey::Tags.name(), |key, value| {
        let problem = |message: String| vec![(value.origin.clone(), message)];
        let tag =
            SessionTag::parse(key, &value.value).map_err(|error| problem(error.to_string()))?;
        let folded = SessionTag::folded(key);
        if keys.contains(&folded) {
            return Err(problem(format!(
                "tag {} stands twice, since AWS ignores case in keys: keep one",
                shown(key)
            )));
        }
        keys.push(folded);
        Ok(tag)
    })?;
    at_most(SessionTag::MOST, OptionKey::Tags, tags.len(), raw)?;
    Ok(tags)
}

pub(in crate::config) fn transitive_tag_keys(
    raw: &Sourced<Raw>,
) -> Result<Vec<Sourced<String>>, Problems> {
    let option = OptionKey::TransitiveTagKeys;
    let keys = raw.texts(option.name(), option.example(), |key| {
        SessionTag::check_key(&key.value)
            .map_err(|error| vec![(key.origin.clone(), error.to_string())])?;
        Ok(key)
    })?;
    at_most(SessionTag::MOST, option, keys.len(), raw)?;
    Ok(keys)
}

pub(in crate::config) fn policy_arns(
    raw: &Sourced<Raw>,
) -> Result<Vec<Sourced<PolicyArn>>, Problems> {
    let option = OptionKey::PolicyArns;
    let arns = raw.texts(option.name(), option.example(), |text| {
        let arn = PolicyArn::parse(&text.value)
            .map_err(|error| vec![(text.origin.clone(), error.to_string())])?;
        Ok(Sourced::new(arn, text.origin))
    })?;
    at_most(PolicyArn::MOST, option, arns.len(), raw)?;
    Ok(arns)
}

fn at_most(
    most: usize,
    option: OptionKey,
    found: usize,
    raw: &Sourced<Raw>,
) -> Result<(), Problems> {
    if found <= most {
        return Ok(());
    }
    Err(raw.problem(format!("{} holds {found}: STS accepts at most {most}", option.name())))
}
