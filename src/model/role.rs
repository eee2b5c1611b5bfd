//! A role as one mount serves it, and the chain of credentials that leads to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{ExternalId, ProfileName, RegionName, RoleArn, SessionNamePattern};

/// One role of a mount: the profile readers see and where its session comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The profile name that readers see.
    pub profile: ProfileName,
    /// Where the session comes from.
    pub chain: Arc<RoleChain>,
    /// The region written to `config`, if one is known.
    pub region: Option<RegionName>,
    /// Non-credential settings of the source profile (`output`, `s3`, `retry_mode`, …), copied
    /// to `config`.
    pub settings: Vec<ProfileSetting>,
}

/// One line, or one nested block, of a profile in an AWS config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileSetting {
    /// The key, lower case.
    pub key: String,
    /// The value of a plain setting; empty when `nested` is not.
    pub value: String,
    /// The key-value pairs of a nested block such as `s3 =`.
    pub nested: Vec<(String, String)>,
}

/// Base credentials and the roles assumed from them, one after the other. Everything that makes
/// two sessions differ stands in here: two roles with equal chains may share a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleChain {
    /// What signs the first AssumeRole; with no hops, what is served as it is.
    pub base: BaseCredentials,
    /// The roles to assume, in order. The last is the role served.
    pub hops: Vec<RoleHop>,
}

impl RoleChain {
    /// The chain that leads to the credentials with which the last hop is assumed; `None` when
    /// there is no hop or the last hop is assumed with the base credentials themselves.
    pub fn parent(&self) -> Option<Self> {
        let (_, before) = self.hops.split_last()?;
        if before.is_empty() {
            return None;
        }
        Some(Self { base: self.base.clone(), hops: before.to_vec() })
    }

    /// The ARN of the role served; `None` when base credentials are served as they are.
    pub fn role_arn(&self) -> Option<&RoleArn> {
        self.hops.last().map(|hop| &hop.role_arn)
    }
}

/// The credentials at the start of a chain, resolved outside our own mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BaseCredentials {
    /// The standard AWS chain: environment, shared files, container, instance metadata.
    DefaultChain,
    /// A profile of the AWS shared files, whatever it holds.
    Profile(String),
    /// `credential_source = Environment`.
    Environment,
    /// `credential_source = Ec2InstanceMetadata`.
    Ec2InstanceMetadata,
    /// `credential_source = EcsContainer`.
    EcsContainer,
}

impl fmt::Display for BaseCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultChain => f.write_str("the standard AWS chain"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Environment => f.write_str("environment variables"),
            Self::Ec2InstanceMetadata => f.write_str("EC2 instance metadata"),
            Self::EcsContainer => f.write_str("the container credentials endpoint"),
        }
    }
}

/// One AssumeRole call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleHop {
    /// The role to assume.
    pub role_arn: RoleArn,
    /// The region whose STS endpoint is called.
    pub sts_region: RegionName,
    /// Session duration asked for (`DurationSeconds`), 15 min to 12 h; 1 h at most when chained.
    pub session_duration: Duration,
    /// `ExternalId`, if the role's trust policy wants one.
    pub external_id: Option<ExternalId>,
    /// What `RoleSessionName` is made of; without it each call gets a unique name.
    pub session_name: Option<SessionNamePattern>,
    /// What else the session carries.
    pub attributes: SessionAttributes,
}

/// What an AssumeRole call says beside the role: who is behind it, and how much less it may do.
/// AWS API Reference, AssumeRole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SessionAttributes {
    /// `SourceIdentity`.
    pub source_identity: Option<String>,
    /// `Tags`: key and value, at most 50.
    pub tags: Vec<(String, String)>,
    /// `TransitiveTagKeys`: which of the tags roles assumed with this session keep.
    pub transitive_tag_keys: Vec<String>,
    /// `Policy`: the inline session policy, as compact JSON.
    pub policy: Option<String>,
    /// `PolicyArns`: managed policies that bound the session, at most 10.
    pub policy_arns: Vec<String>,
}
