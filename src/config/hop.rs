//! One AssumeRole call of a chain: its own values and the defaults → a checked [`RoleHop`].

use std::time::Duration;

use super::attributes::AttributeSpec;
use super::chain::{Built, Chains};
use super::error::{Origin, Report};
use super::layer::Sourced;
use super::settings::DEFAULT_SESSION_DURATION;
use super::spec::Target;
use crate::model::{
    ExternalId, RegionName, RoleArn, RoleHop, SessionAttributes, SessionNameTemplate,
};

/// Below this, readers that keep keys for 15 minutes may use dead ones.
const SHORT_SESSION: Duration = Duration::from_mins(30);

/// What one AssumeRole call is made of, before defaults.
#[derive(Debug)]
pub(super) struct HopSpec<'a> {
    /// What to call it in messages.
    pub(super) subject: &'a str,
    /// What `{role}` in its session name stands for.
    pub(super) name: &'a str,
    pub(super) origin: &'a Origin,
    pub(super) target: Target,
    pub(super) region: Option<Sourced<RegionName>>,
    pub(super) session_duration: Option<Sourced<Duration>>,
    pub(super) external_id: Option<Sourced<ExternalId>>,
    pub(super) session_name: Option<Sourced<SessionNameTemplate>>,
    pub(super) attributes: AttributeSpec,
}

impl HopSpec<'_> {
    /// Adds one AssumeRole call to a chain.
    ///
    /// `served` tells the last call, whose session readers get, from those on the way.
    pub(super) fn append_to(
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
