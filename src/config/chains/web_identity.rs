//! Chains that begin with a web identity token.

use super::{Built, Chains};
use crate::config::aws::profiles::Profile;
use crate::config::values::{Report, Sourced, paths, shown};
use crate::model::{BaseCredentials, RoleChain, TokenSource};

impl Chains<'_> {
    /// The token that an AWS profile with `role_arn` is assumed with.
    pub(super) fn token_file(
        &self,
        profile: &Profile,
        file: &Sourced<String>,
        source: Option<&Sourced<String>>,
        report: &mut Report,
    ) -> Option<Built> {
        const KEY: &str = "web_identity_token_file";
        let other = profile.value("credential_source").map(|_| "credential_source");
        if let Some(other) = source.map(|_| "source_profile").or(other) {
            let subject = shown(&profile.name);
            let message = format!("profile {subject} has both {KEY} and {other}: keep one");
            report.error(&file.origin, message);
            return None;
        }
        let path = paths::absolute(KEY, &file.value, self.home);
        Some(Built::token(TokenSource::File(report.check(&file.origin, path)?)))
    }
}

impl Built {
    /// A token, which is of no profile. The first role is not chained: it may last 12 h.
    pub(super) fn token(token: TokenSource) -> Self {
        let chain = RoleChain { base: BaseCredentials::WebIdentity(token), hops: Vec::new() };
        Self {
            chain,
            region: None,
            settings_profile: None,
            base_is_role: false,
            source_region: None,
        }
    }
}
