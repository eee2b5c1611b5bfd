//! Roles and profiles that refer to one another → flat chains: base credentials and hops.
//!
//! 1. A configured role is assumed with its `source_role`, else its `source_profile`, else the
//!    `source_profile` for all, else the standard chain; or, in place of all these, with a web
//!    identity token.
//! 2. An AWS profile with `role_arn` is assumed with its `web_identity_token_file`,
//!    `source_profile` or `credential_source`; any other profile is base credentials, which the AWS SDK resolves. So is a profile that is
//!    its own `source_profile`: only the SDK may read the static keys that stand in it.
//! 3. What AWS calls chained, a role assumed with a role session, lasts one hour at most.

mod hop;
pub(in crate::config) mod mfa;
pub(in crate::config) mod regions;
mod sources;
pub(in crate::config) mod spec;
mod web_identity;

use self::regions::Regions;
use self::spec::Catalog;
use crate::config::aws::profiles::Profiles;
use crate::config::options::Options;
use crate::config::values::Sourced;
use crate::model::{RegionName, RoleChain};

/// Everything a chain may refer to.
#[derive(Debug)]
pub(in crate::config) struct Chains<'a> {
    pub(in crate::config) options: &'a Options,
    pub(in crate::config) catalog: &'a Catalog,
    pub(in crate::config) profiles: &'a Profiles,
    pub(in crate::config) regions: Regions<'a>,
    /// The profile that the standard chain looks at: `AWS_PROFILE`, else `default`.
    pub(in crate::config) ambient_profile: &'a str,
    /// What `{mount}` in session names stands for.
    pub(in crate::config) mount: &'a str,
    /// What `~` stands for.
    pub(in crate::config) home: Option<&'a str>,
}

/// A chain with what its roles need to know.
#[derive(Debug)]
pub(in crate::config) struct Built {
    pub(in crate::config) chain: RoleChain,
    /// The region for `config`.
    pub(in crate::config) region: Option<RegionName>,
    /// The AWS profile whose settings readers get.
    pub(in crate::config) settings_profile: Option<String>,
    /// Whether the base credentials are known to be a role session.
    pub(in crate::config) base_is_role: bool,
    /// The region of the profile that assumes, for the next hop.
    pub(in crate::config) source_region: Option<Sourced<RegionName>>,
}
