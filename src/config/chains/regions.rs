//! The region of a role, for `config` and for its STS endpoint.
//!
//! In this order: flag, variable, the role's own (before the variable when it stands in one too),
//! the file's for all, the source profile's, `AWS_REGION`, `AWS_DEFAULT_REGION`, that of
//! `AWS_PROFILE` or `[default]`.
//! What was said about credmount's roles must belong to the partition of the role. The last four
//! are about other things as well: where they do not belong, they are passed over.

use crate::config::values::{Layered, Origin, Report, Sourced};
use crate::model::{Partition, RegionName};

/// The regions that do not depend on the role.
#[derive(Debug)]
pub(in crate::config) struct Regions<'a> {
    /// The option `region`.
    pub(in crate::config) option: &'a Layered<RegionName>,
    /// `AWS_REGION`, `AWS_DEFAULT_REGION` and the region of the profile that the standard chain
    /// looks at, in this order.
    pub(in crate::config) ambient: Vec<Sourced<RegionName>>,
}

impl Regions<'_> {
    /// The region of credentials that are served as they are.
    pub(in crate::config) fn of_base<'a>(
        &'a self,
        own: Option<&'a Sourced<RegionName>>,
    ) -> Option<&'a Sourced<RegionName>> {
        self.first(own, None)
    }

    /// The first region that anything names.
    pub(in crate::config) fn first<'a>(
        &'a self,
        own: Option<&'a Sourced<RegionName>>,
        source: Option<&'a Sourced<RegionName>>,
    ) -> Option<&'a Sourced<RegionName>> {
        self.option.for_role(own, true).or(source).or(self.ambient.first())
    }

    /// The region of a role in `partition`; `None` when nothing names a fitting one.
    pub(in crate::config) fn of_role(
        &self,
        subject: &str,
        partition: Partition,
        own: Option<&Sourced<RegionName>>,
        source: Option<&Sourced<RegionName>>,
        report: &mut Report,
    ) -> Option<RegionName> {
        if let Some(said) = self.option.for_role(own, true) {
            if said.value.partition() == Some(partition) {
                return Some(said.value.clone());
            }
            report.error(&said.origin, mismatch(subject, partition, &said.value));
            return None;
        }
        source
            .into_iter()
            .chain(&self.ambient)
            .find(|region| {
                let fits = region.value.partition() == Some(partition);
                if !fits {
                    warn(subject, partition, region, report);
                }
                fits
            })
            .map(|region| region.value.clone())
    }
}

fn mismatch(subject: &str, partition: Partition, region: &RegionName) -> String {
    let right = partition.default_sts_region();
    match region.partition() {
        Some(other) => format!(
            "region {region} belongs to partition {other}, but {subject} is in {partition}: use a \
             region such as {right}"
        ),
        None => format!(
            "region {region} is no AWS region, but {subject} is assumed in one: use a region such \
             as {right}"
        ),
    }
}

fn warn(subject: &str, partition: Partition, region: &Sourced<RegionName>, report: &mut Report) {
    let (name, origin): (_, &Origin) = (&region.value, &region.origin);
    report.warning(
        origin,
        format!("region {name} is not used for {subject}, which is in partition {partition}"),
    );
}
