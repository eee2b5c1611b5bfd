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

/// So many profiles are followed; a loop ends there, too.
const LONGEST_CHAIN: usize = 16;

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

/// The same for the profile at the start of the chain of `source_profile` that begins with `name`.
pub(super) fn session_behind(
    sections: &ProfileSet,
    name: &str,
) -> Option<Result<SsoSession, String>> {
    let mut at = name;
    for _ in 0..LONGEST_CHAIN {
        if let Some(found) = session_of_profile(sections, at) {
            return Some(found);
        }
        at = value(sections.get_profile(at)?, "source_profile")?;
    }
    None
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

#[cfg(test)]
mod tests {
    use aws_config::profile::load;
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
    use aws_types::os_shim_internal::{Env, Fs};

    use super::*;

    async fn sections(config: &str) -> ProfileSet {
        let files = EnvConfigFiles::builder()
            .with_contents(EnvConfigFileKind::Config, config)
            .with_contents(EnvConfigFileKind::Credentials, "")
            .build();
        load(&Fs::real(), &Env::from_slice(&[]), &files, None).await.unwrap()
    }

    const PLACE: &str = "sso_region = eu-west-1\nsso_start_url = https://s\n";
    const ROLE: &str = "sso_account_id = 123456789012\nsso_role_name = Admin\n";

    #[tokio::test]
    async fn a_session_of_a_name_asks_for_refresh_and_one_of_a_profile_cannot() {
        let config = format!(
            "[profile a]\nsso_session = s\n{ROLE}[sso-session s]\n{PLACE}[profile b]\n{ROLE}{PLACE}"
        );
        let sections = sections(&config).await;
        let a = profile(&sections, "a").unwrap().unwrap();
        assert_eq!((a.account_id.as_str(), a.role_name.as_str()), ("123456789012", "Admin"));
        assert_eq!(
            (a.session.label(), &*a.session.scopes),
            ("s", &[ACCOUNT_ACCESS.to_owned()][..])
        );
        let b = profile(&sections, "b").unwrap().unwrap();
        assert_eq!((b.session.label(), b.session.scopes.len()), ("https://s", 0));
        assert_ne!(a.session.registration_name(), b.session.registration_name());
        let labels: Vec<_> = sessions(&sections).iter().map(|s| s.label().to_owned()).collect();
        assert_eq!(labels, ["https://s", "s"]);
    }

    /// The names that the AWS SDKs test theirs with.
    #[test]
    fn the_file_of_a_sign_in_is_named_as_in_every_sdk() {
        assert_eq!(sha1_hex("admin"), "d033e22ae348aeb5660fc2140aec35850c4da997");
        assert_eq!(sha1_hex("dev-scopes"), "75e4d41276d8bd17f85986fc6cccef29fd725ce3");
    }

    #[tokio::test]
    async fn the_sign_in_behind_a_chain_of_profiles_is_found_and_a_loop_ends() {
        let config = format!(
            "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\n\
             source_profile = c\n[profile c]\n{ROLE}{PLACE}[profile d]\nrole_arn = r\n\
             source_profile = d\n"
        );
        let sections = sections(&config).await;
        let label = |name: &str| {
            session_behind(&sections, name).map(|found| found.unwrap().label().to_owned())
        };
        assert_eq!(label("a").as_deref(), Some("https://s"));
        assert_eq!((label("d"), label("e")), (None, None));
    }

    #[tokio::test]
    async fn scopes_are_a_list() {
        let config = format!("[sso-session s]\n{PLACE}sso_registration_scopes = a:b, c:d\n");
        let found = session_of_name(&sections(&config).await, "s").unwrap().unwrap();
        assert_eq!(found.scopes, ["a:b", "c:d"]);
    }

    #[tokio::test]
    async fn a_profile_with_another_source_is_none_of_ours() {
        for other in [
            "role_arn = arn:aws:iam::1:role/a\nsource_profile = p\n",
            "credential_source = Environment\n",
            "web_identity_token_file = /t\nrole_arn = arn:aws:iam::1:role/a\n",
        ] {
            let config = format!("[profile p]\n{ROLE}{PLACE}{other}");
            assert_eq!(profile(&sections(&config).await, "p"), None, "{other}");
        }
        let plain = sections("[profile p]\naws_access_key_id = A\n").await;
        assert_eq!(profile(&plain, "p"), None);
        assert_eq!(profile(&plain, "q"), None);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told() {
        for (config, words) in [
            (
                format!("[profile p]\nsso_session = s\n{ROLE}"),
                "there is no section [sso-session s]",
            ),
            (format!("[profile p]\n{PLACE}sso_role_name = r\n"), "has no sso_account_id"),
            (format!("[profile p]\n{PLACE}sso_account_id = 1\n"), "has no sso_role_name"),
            (format!("[profile p]\n{ROLE}sso_start_url = https://s\n"), "has no sso_region"),
            (
                format!(
                    "[profile p]\nsso_session = s\n{ROLE}[sso-session s]\nsso_region = eu-west-1\n"
                ),
                "section [sso-session s] has no sso_start_url",
            ),
            (
                format!(
                    "[profile p]\nsso_session = s\nsso_region = us-east-1\n{ROLE}[sso-session s]\n{PLACE}"
                ),
                "have different sso_region",
            ),
            (
                format!("[profile p]\n{ROLE}sso_start_url = u\nsso_region = no region\n"),
                "sso_region of profile",
            ),
        ] {
            let error = profile(&sections(&config).await, "p").unwrap().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
