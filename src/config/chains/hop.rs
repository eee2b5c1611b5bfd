//! One AssumeRole call of a chain: its own values and the defaults → a checked [`RoleHop`].

use std::time::Duration;

use super::spec::Target;
use super::{Built, Chains};
use crate::config::options::attributes::AttributeSpec;
use crate::config::settings::DEFAULT_SESSION_DURATION;
use crate::config::values::{Origin, Report, Sourced};
use crate::model::{
    BaseCredentials, ExternalId, RegionName, RoleArn, RoleHop, SessionAttributes,
    SessionNameTemplate,
};

/// Below this, readers that keep keys for 15 minutes may use dead ones.
const SHORT_SESSION: Duration = Duration::from_mins(30);

/// What one AssumeRole call is made of, before defaults.
#[derive(Debug)]
pub(in crate::config) struct HopSpec<'a> {
    /// What to call it in messages.
    pub(in crate::config) subject: &'a str,
    /// What `{role}` in its session name stands for.
    pub(in crate::config) name: &'a str,
    pub(in crate::config) origin: &'a Origin,
    pub(in crate::config) target: Target,
    pub(in crate::config) region: Option<Sourced<RegionName>>,
    pub(in crate::config) session_duration: Option<Sourced<Duration>>,
    pub(in crate::config) external_id: Option<Sourced<ExternalId>>,
    pub(in crate::config) session_name: Option<Sourced<SessionNameTemplate>>,
    pub(in crate::config) attributes: AttributeSpec,
}

impl HopSpec<'_> {
    /// Adds one AssumeRole call to a chain.
    ///
    /// `served` tells the last call, whose session readers get, from those on the way.
    pub(in crate::config) fn append_to(
        self,
        mut built: Built,
        chains: &Chains<'_>,
        served: bool,
        report: &mut Report,
    ) -> Option<Built> {
        let own = self.region.as_ref();
        let source = built.source_region.as_ref();
        let hint = chains.regions.first(own, source).map(|found| &found.value);
        let previous = built.chain.role_arn().map(RoleArn::partition);
        let role_arn = self.target.arn(hint);
        let partition = role_arn.partition();
        let subject = self.subject;
        if let Some(previous) = previous.filter(|previous| *previous != partition) {
            report.error(
                self.origin,
                format!(
                    "{subject} is in partition {partition}, but is to be assumed from {previous}: \
                     roles cannot be assumed across partitions"
                ),
            );
            return None;
        }
        let region = chains.regions.of_role(subject, partition, own, source, report);
        let options = chains.options;
        let chained = built.base_is_role || !built.chain.hops.is_empty();
        let duration = options.session_duration.for_role(self.session_duration.as_ref(), served);
        if let Some(duration) = duration {
            check_duration(subject, duration, chained, served, report);
        }
        let session_name = options.session_name.for_role(self.session_name.as_ref(), served);
        let session_name = session_name.and_then(|found| {
            report.check(&found.origin, found.value.bind(chains.mount, self.name))
        });
        let mut hop = RoleHop {
            role_arn,
            sts_region: region.clone().unwrap_or_else(|| partition.default_sts_region()),
            session_duration: duration.map_or(DEFAULT_SESSION_DURATION, |found| found.value),
            external_id: options
                .external_id
                .for_role(self.external_id.as_ref(), served)
                .map(|found| found.value.clone()),
            session_name,
            attributes: SessionAttributes::default(),
        };
        let attributes = options.attributes.for_role(&self.attributes, served);
        let with_token = matches!(built.chain.base, BaseCredentials::WebIdentity(_));
        if with_token && built.chain.hops.is_empty() {
            let external_id = options.external_id.for_role(self.external_id.as_ref(), served);
            let external_id = external_id.map(|found| &found.origin);
            attributes.refuse_with_token(subject, external_id, report);
        }
        attributes.session(subject, &built.chain.hops, &mut hop, report);
        built.chain.hops.push(hop);
        built.region = region;
        Some(built)
    }
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
