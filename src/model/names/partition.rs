//! AWS partitions and the regions that belong to them.

use std::fmt;

use super::{NameError, checked_text, quoted};

/// An AWS partition: a set of regions with its own accounts. Roles cannot be assumed across
/// partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// `aws`: the public regions.
    Aws,
    /// `aws-cn`: China.
    AwsCn,
    /// `aws-us-gov`: the regions for the US government.
    AwsUsGov,
    /// `aws-iso`.
    AwsIso,
    /// `aws-iso-b`.
    AwsIsoB,
    /// `aws-iso-e`.
    AwsIsoE,
    /// `aws-iso-f`.
    AwsIsoF,
    /// `aws-eusc`: the European Sovereign Cloud.
    AwsEusc,
}

impl Partition {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::AwsCn,
        Self::AwsUsGov,
        Self::AwsIso,
        Self::AwsIsoB,
        Self::AwsIsoE,
        Self::AwsIsoF,
        Self::AwsEusc,
    ];

    /// Parses and checks.
    ///
    /// # Errors
    /// When `text` is no known partition.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|partition| partition.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|partition| partition.as_str()).collect();
            NameError(format!("partition {} is unknown: use {}", quoted(text), known.join(", ")))
        })
    }

    /// The name as it stands in ARNs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
            Self::AwsIso => "aws-iso",
            Self::AwsIsoB => "aws-iso-b",
            Self::AwsIsoE => "aws-iso-e",
            Self::AwsIsoF => "aws-iso-f",
            Self::AwsEusc => "aws-eusc",
        }
    }

    /// The region whose STS endpoint is called when nothing names a region.
    pub fn default_sts_region(self) -> RegionName {
        let region = match self {
            Self::Aws => "us-east-1",
            Self::AwsCn => "cn-north-1",
            Self::AwsUsGov => "us-gov-west-1",
            Self::AwsIso => "us-iso-east-1",
            Self::AwsIsoB => "us-isob-east-1",
            Self::AwsIsoE => "eu-isoe-west-1",
            Self::AwsIsoF => "us-isof-south-1",
            Self::AwsEusc => "eusc-de-east-1",
        };
        RegionName(region.to_owned())
    }

    /// How the names of its regions begin; `aws` has all that begin otherwise.
    fn region_prefix(self) -> Option<&'static str> {
        match self {
            Self::Aws => None,
            Self::AwsCn => Some("cn-"),
            Self::AwsUsGov => Some("us-gov-"),
            Self::AwsIso => Some("us-iso-"),
            Self::AwsIsoB => Some("us-isob-"),
            Self::AwsIsoE => Some("eu-isoe-"),
            Self::AwsIsoF => Some("us-isof-"),
            Self::AwsEusc => Some("eusc-"),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

checked_text! {
    /// A region name. It becomes part of a host name, so it is a DNS label; names that AWS does
    /// not have (`auto`, for other S3 services) are legal but belong to no partition.
    RegionName
}

impl RegionName {
    /// Parses and checks.
    ///
    /// # Errors
    /// When `text` is no lower-case DNS label.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let problem = if text.is_empty() {
            "region is empty".to_owned()
        } else if text.len() > 63 {
            format!("region {} has more than 63 characters", quoted(text))
        } else if text.starts_with('-') || text.ends_with('-') {
            format!("region {} has a hyphen at an end", quoted(text))
        } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            format!("region {} has capital letters", quoted(text))
        } else if !text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            format!("region {} is no region name", quoted(text))
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError(format!("{problem}: write it as in eu-west-1")))
    }

    /// The partition it belongs to; `None` for a name that does not look like an AWS region.
    pub fn partition(&self) -> Option<Partition> {
        let mut parts = self.0.split('-');
        let number = parts.next_back()?;
        let looks_like_aws = parts.clone().count() >= 2
            && parts
                .all(|part| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase()))
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit());
        if !looks_like_aws {
            return None;
        }
        let own_prefix = Partition::ALL.into_iter().find(|partition| {
            partition.region_prefix().is_some_and(|prefix| self.0.starts_with(prefix))
        });
        Some(own_prefix.unwrap_or(Partition::Aws))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_default_sts_region_belongs_to_its_partition() {
        for partition in Partition::ALL {
            let region = partition.default_sts_region();
            assert_eq!(RegionName::parse(region.as_str()), Ok(region.clone()));
            assert_eq!(region.partition(), Some(partition));
            assert_eq!(Partition::parse(partition.as_str()), Ok(partition));
        }
    }

    #[test]
    fn regions_belong_to_partitions_by_their_beginning() {
        let partition = |text| RegionName::parse(text).expect("legal").partition();
        assert_eq!(partition("eu-central-2"), Some(Partition::Aws));
        assert_eq!(partition("mx-central-1"), Some(Partition::Aws));
        assert_eq!(partition("cn-northwest-1"), Some(Partition::AwsCn));
        assert_eq!(partition("us-gov-east-1"), Some(Partition::AwsUsGov));
        assert_eq!(partition("us-isob-west-1"), Some(Partition::AwsIsoB));
        assert_eq!(partition("auto"), None);
        assert_eq!(partition("us-east"), None);
        assert_eq!(partition("us-east-1a"), None);
        assert_eq!(partition("us-1"), None);
    }

    #[test]
    fn messages_say_what_is_right() {
        let message = |text| RegionName::parse(text).expect_err("refused").to_string();
        assert_eq!(message(""), "region is empty: write it as in eu-west-1");
        assert_eq!(
            message("EU-West-1"),
            "region `EU-West-1` has capital letters: write it as in eu-west-1"
        );
        assert_eq!(
            message("eu west"),
            "region `eu west` is no region name: write it as in eu-west-1"
        );
        assert_eq!(
            Partition::parse("aws-gov").expect_err("refused").to_string(),
            "partition `aws-gov` is unknown: use aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, \
             aws-iso-e, aws-iso-f, aws-eusc"
        );
    }

    proptest! {
        #[test]
        fn a_legal_region_is_a_dns_label(text in ".{0,70}") {
            if let Ok(region) = RegionName::parse(&text) {
                let text = region.as_str();
                prop_assert!((1..=63).contains(&text.len()));
                prop_assert!(!text.contains(['.', '/', ':', '@', ' ']));
                let _ = region.partition();
            }
        }
    }
}
