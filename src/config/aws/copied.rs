//! Which settings of a source profile readers get in `config`, and in which form.

use super::profiles::Profile;
use crate::config::values::{Origin, Report, shown};
use crate::model::ProfileSetting;

/// Settings about how to call AWS. Nothing here names credentials, a file of this machine, or
/// another section; a key that is not here is left out silently when it is about credentials or
/// unknown. `region` stands in its own place.
const PLAIN: [&str; 25] = [
    "account_id_endpoint_mode",
    "api_versions",
    "auth_scheme_preference",
    "cli_auto_prompt",
    "cli_binary_format",
    "cli_pager",
    "cli_timestamp_format",
    "defaults_mode",
    "disable_request_compression",
    "ec2_metadata_service_endpoint_mode",
    "endpoint_url",
    "ignore_configured_endpoint_urls",
    "max_attempts",
    "output",
    "parameter_validation",
    "request_checksum_calculation",
    "request_min_compression_size_bytes",
    "response_checksum_validation",
    "retry_mode",
    "s3_disable_multiregion_access_points",
    "s3_us_east_1_regional_endpoint",
    "s3_use_arn_region",
    "sts_regional_endpoints",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
];

/// Also plain, but long to explain: the application's name in the user agent, the socket option
/// and the signing regions.
const ALSO_PLAIN: [&str; 3] = ["sdk_ua_app_id", "sigv4a_signing_region_set", "tcp_keepalive"];

/// Settings that are blocks of indented lines.
const NESTED: [&str; 2] = ["s3", "s3api"];

/// Settings that cannot work in the mount, with the reason.
const LEFT_OUT: [(&str, &str); 2] = [
    ("services", "it names another section, which this version does not serve"),
    ("ca_bundle", "its file may not exist where readers run; set AWS_CA_BUNDLE there"),
];

/// The settings of `profile` that readers get. Warns about what is left out.
pub(in crate::config) fn copied(profile: &Profile, report: &mut Report) -> Vec<ProfileSetting> {
    let mut settings = Vec::new();
    for (origin, property) in profile.properties() {
        let key = property.key.as_str();
        if let Some((_, why)) = LEFT_OUT.iter().find(|(name, _)| *name == key) {
            leave_out(report, origin, key, profile, why);
        } else if NESTED.contains(&key) {
            if property.nested.is_empty() {
                continue;
            }
            let legal = property
                .nested
                .iter()
                .all(|(key, value)| is_plain_key(key) && problem(value).is_none());
            if legal {
                settings.push(ProfileSetting {
                    key: key.to_owned(),
                    value: String::new(),
                    nested: property.nested.clone(),
                });
            } else {
                leave_out(
                    report,
                    origin,
                    key,
                    profile,
                    "not every SDK would read one of its lines",
                );
            }
        } else if PLAIN.contains(&key) || ALSO_PLAIN.contains(&key) {
            match problem(&property.value) {
                Some(why) => leave_out(report, origin, key, profile, why),
                None => settings.push(ProfileSetting {
                    key: key.to_owned(),
                    value: property.value.clone(),
                    nested: Vec::new(),
                }),
            }
        }
    }
    settings
}

fn leave_out(report: &mut Report, origin: &Origin, key: &str, profile: &Profile, why: &str) {
    let profile = shown(&profile.name);
    report.warning(origin, format!("`{key}` of profile {profile} is not served: {why}"));
}

fn is_plain_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Why a value cannot stand in a file that every SDK reads alike; `None` when it can.
fn problem(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        Some("it has no value")
    } else if value.chars().any(char::is_control) {
        Some("its value has more than one line or control characters")
    } else if value.contains([';', '#', '"', '\'']) {
        Some("SDKs disagree about quotes and comment signs in its value")
    } else if value.len() > 1024 {
        Some("its value has more than 1024 bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_names_credentials_is_copied() {
        for key in PLAIN.iter().chain(&ALSO_PLAIN).chain(&NESTED) {
            for forbidden in
                ["role", "source_", "credential", "sso_", "mfa", "web_identity", "aws_"]
            {
                assert!(!key.contains(forbidden), "{key}");
            }
        }
    }

    #[test]
    fn values_that_sdks_read_differently_are_refused() {
        for bad in ["", "a\nb", "a\0b", "a # b", "a ;b", "\"a\"", "it's"] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
        assert_eq!(problem("https://sts.example.com:8443/x?y=z"), None);
    }
}
