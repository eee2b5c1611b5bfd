//! What `credmount render` prints beside the files of the mount.

use std::sync::Arc;

use super::process::process_json;
use super::{ProfileState, Text, instant};
use crate::model::{ProfileName, RegionName, StsSession};

/// Shell commands that set the variables SDKs read. They are made for `eval`, so whatever is more
/// than the characters that keys of AWS have is quoted.
pub fn shell_exports(region: Option<&RegionName>, session: &StsSession) -> Text {
    let token = session.session_token.as_ref().map_or("", |token| token.expose());
    let mut text = Text::new(String::with_capacity(token.len() + 512));
    let mut export = |name: &str, value: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+/=_-.:@,".contains(c);
        let quote = if value.chars().all(plain) { "" } else { "'" };
        for part in ["export ", name, "=", quote] {
            text.push_str(part);
        }
        for (index, part) in value.split('\'').enumerate() {
            // Ends the quotes, gives the quote itself, begins them anew.
            text.push_str(if index > 0 { "'\\''" } else { "" });
            text.push_str(part);
        }
        text.push_str(quote);
        text.push('\n');
    };
    export("AWS_ACCESS_KEY_ID", &session.access_key_id);
    export("AWS_SECRET_ACCESS_KEY", session.secret_access_key.expose());
    if !token.is_empty() {
        export("AWS_SESSION_TOKEN", token);
        export("AWS_CREDENTIAL_EXPIRATION", &instant(session.expiration));
    }
    if let Some(region) = region {
        // boto3 and AWS CLI v1 know only the second name, most others only the first.
        export("AWS_REGION", region.as_str());
        export("AWS_DEFAULT_REGION", region.as_str());
    }
    text
}

/// One JSON object: profile name → process-credential JSON.
pub fn json_object<'a>(
    sessions: impl Iterator<Item = (&'a ProfileName, &'a Arc<StsSession>)>,
) -> Text {
    let members: Vec<Text> = sessions
        .map(|(name, session)| {
            let value = process_json(name, &ProfileState::Live(session.clone()));
            let key = serde_json::Value::from(name.as_str()).to_string();
            let mut member = Text::new(String::with_capacity(key.len() + value.len() + 1));
            for part in [&key, ":", &value] {
                member.push_str(part);
            }
            member
        })
        .collect();
    let length: usize = members.iter().map(|member| member.len() + 1).sum();
    let mut text = Text::new(String::with_capacity(length + 1));
    text.push('{');
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(member);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::broker::testing::session_of;

    #[test]
    fn exports_set_the_region_under_both_names_that_sdks_read() {
        let session = session_of("ASIA1", SystemTime::UNIX_EPOCH, Duration::from_hours(1));
        let region = RegionName::parse("eu-west-1").unwrap();
        let text = shell_exports(Some(&region), &session);
        for line in ["export AWS_REGION=eu-west-1", "export AWS_DEFAULT_REGION=eu-west-1"] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        assert!(!shell_exports(None, &session).contains("REGION"));
    }
}
