//! The settings of IAM Identity Center in the AWS files: AWS SDKs and Tools Reference Guide, "IAM
//! Identity Center credential provider". Must not know tokens.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_config::profile::{Profile, ProfileSet};
use sha1::{Digest, Sha1};

use crate::broker::{Cause, SessionError};
use crate::model::RegionName;

/// The scope that gives role credentials, and a refresh token.
const ACCOUNT_ACCESS: &str = "sso:account:access";

/// What one signs in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsoSession {
    /// The NAME of `[sso-session NAME]`; `None` where the start URL stands in a profile itself.
    pub name: Option<String>,
    /// `sso_start_url`.
    pub start_url: String,
    /// `sso_region`.
    pub region: RegionName,
    /// `sso_registration_scopes`; empty without a session of a name, and then there is no refresh.
    pub scopes: Vec<String>,
}

impl SsoSession {
    /// What people call it: its name, or the start URL.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.start_url)
    }

    /// The stem of its file in the cache, as in every SDK: the SHA-1 of its label in hexadecimal.
    pub(super) fn cache_name(&self) -> String {
        sha1_hex(self.label())
    }

    /// The stem of the file of our registration, of which no other program has one of this name.
    pub(super) fn registration_name(&self) -> String {
        let Self { start_url, region, scopes, .. } = self;
        sha1_hex(&format!("credmount {start_url} {region} {}", scopes.join(" ")))
    }
}

/// A profile that is served by way of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sts) struct SsoProfile {
    /// Its name.
    pub(in crate::sts) name: String,
    /// What one signs in to.
    pub(in crate::sts) session: SsoSession,
    /// `sso_account_id`.
    pub(in crate::sts) account_id: String,
    /// `sso_role_name`.
    pub(in crate::sts) role_name: String,
}

impl SsoProfile {
    /// The error that says what to do: sign in.
    pub(super) fn login_needed(&self, subject: &str, why: &str) -> SessionError {
        let name = &self.name;
        let label = self.session.label();
        let why = if why.is_empty() { String::new() } else { format!("{why}; ") };
        let detail = format!("sign-in {label}: {why}run credmount login {name}");
        SessionError::new(subject, Cause::LoginNeeded, &detail)
    }
}

/// The profile of this name, if its credentials come by way of a sign-in; `None` if by another.
/// A profile that assumes a role or has a web identity is not ours.
pub(super) fn profile(sections: &ProfileSet, name: &str) -> Option<Result<SsoProfile, String>> {
    let profile = sections.get_profile(name)?;
    let session = session_of_profile(sections, name)?;
    Some(session.and_then(|session| {
        let needed = |key: &str| {
            let value = value(profile, key).map(str::to_owned);
            value.ok_or_else(|| format!("profile '{name}' signs in but has no {key}: add it"))
        };
        let (account_id, role_name) = (needed("sso_account_id")?, needed("sso_role_name")?);
        Ok(SsoProfile { name: name.to_owned(), session, account_id, role_name })
    }))
}

/// What one signs in to for a profile; `None` if it needs no sign-in.
pub(super) fn session_of_profile(
    sections: &ProfileSet,
    name: &str,
) -> Option<Result<SsoSession, String>> {
    const OTHERS: [&str; 3] = ["role_arn", "web_identity_token_file", "credential_source"];
    let profile = sections.get_profile(name)?;
    if OTHERS.iter().any(|key| profile.get(key).is_some()) {
        return None;
    }
    let subject = format!("profile '{name}'");
    if let Some(session) = value(profile, "sso_session") {
        let missing = || {
            Err(format!(
                "{subject} has sso_session = {session}, but there is no section \
                 [sso-session {session}]: add one with sso_start_url and sso_region"
            ))
        };
        let clashing = ["sso_start_url", "sso_region"].into_iter().find(|key| {
            let (own, of_session) = (value(profile, key), sections.sso_session(session));
            let of_session = of_session.and_then(|session| session.get(key));
            own.is_some() && of_session.is_some() && own != of_session
        });
        if let Some(key) = clashing {
            return Some(Err(format!(
                "{subject} and its section [sso-session {session}] have different {key}: remove \
                 it from the profile"
            )));
        }
        return Some(session_of_name(sections, session).unwrap_or_else(missing));
    }
    let start_url = value(profile, "sso_start_url")?;
    Some(session(&subject, None, Some(start_url), value(profile, "sso_region"), None))
}

/// The `[sso-session NAME]` of this name.
pub(super) fn session_of_name(
    sections: &ProfileSet,
    name: &str,
) -> Option<Result<SsoSession, String>> {
    let found = sections.sso_session(name)?;
    let subject = format!("section [sso-session {name}]");
    let (url, region) = (found.get("sso_start_url"), found.get("sso_region"));
    Some(session(&subject, Some(name), url, region, found.get("sso_registration_scopes")))
}

/// All that are whole, each once, by their labels.
pub(super) fn sessions(sections: &ProfileSet) -> Vec<SsoSession> {
    let named = sections.sso_sessions().filter_map(|name| session_of_name(sections, name));
    let of_profiles = sections.profiles().filter_map(|name| session_of_profile(sections, name));
    let all = named.chain(of_profiles).filter_map(Result::ok);
    let by_label: BTreeMap<_, _> = all.map(|it| (it.label().to_owned(), it)).collect();
    by_label.into_values().collect()
}

fn session(
    subject: &str,
    name: Option<&str>,
    start_url: Option<&str>,
    region: Option<&str>,
    scopes: Option<&str>,
) -> Result<SsoSession, String> {
    let needed = |found: Option<&str>, key| {
        let found = found.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
        found.ok_or_else(|| format!("{subject} has no {key}: add it"))
    };
    let start_url = needed(start_url, "sso_start_url")?;
    let region = needed(region, "sso_region")?;
    let region = RegionName::parse(&region).map_err(|e| format!("sso_region of {subject}: {e}"))?;
    let scopes = match (name, scopes) {
        (None, _) => Vec::new(),
        (Some(_), None) => vec![ACCOUNT_ACCESS.to_owned()],
        (Some(_), Some(listed)) => {
            let scopes = listed.split(',').map(str::trim).filter(|scope| !scope.is_empty());
            scopes.map(str::to_owned).collect()
        }
    };
    Ok(SsoSession { name: name.map(str::to_owned), start_url, region, scopes })
}

fn value<'a>(profile: &'a Profile, key: &str) -> Option<&'a str> {
    profile.get(key).map(str::trim).filter(|value| !value.is_empty())
}

fn sha1_hex(text: &str) -> String {
    let mut hex = String::with_capacity(40);
    for byte in Sha1::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
