//! The exact bytes, and their inverse.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::broker::{Cause, Place, SessionError};
use crate::model::{AccountId, ProfileName, ProfileSetting, RegionName, Secret, StsSession};

fn session() -> StsSession {
    let issued = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365);
    StsSession {
        access_key_id: "ASIAEXAMPLE".to_owned(),
        secret_access_key: Secret::new("wJalr/XUtn+FEMI"),
        session_token: Some(Secret::new("IQoJb3JpZ2luX2VjE==")),
        account_id: AccountId::parse("123456789012").ok(),
        issued,
        expiration: issued + Duration::from_hours(1),
    }
}

fn live() -> ProfileState {
    ProfileState::Live(Arc::new(session()))
}

fn failing() -> ProfileState {
    ProfileState::Failing(SessionError::new("arn", Cause::AccessDenied, "internal; $(detail)"))
}

fn profile(name: &ProfileName) -> Profile<'_> {
    Profile { name, region: None, settings: &[] }
}

fn name(text: &str) -> ProfileName {
    ProfileName::parse(text).unwrap()
}

#[test]
fn credentials_hold_static_keys_and_for_a_failing_profile_a_command_that_says_why() {
    let (prod, dev) = (name("prod"), name("dev"));
    let text = credentials(&[(profile(&prod), live()), (profile(&dev), failing())], false);
    insta::assert_snapshot!(*text, @r#"
    # credmount: generated on open, do not edit
    [prod]
    aws_access_key_id = ASIAEXAMPLE
    aws_secret_access_key = wJalr/XUtn+FEMI
    aws_session_token = IQoJb3JpZ2luX2VjE==
    aws_account_id = 123456789012
    x_security_token_expires = 1971-01-01T01:00:00Z

    [dev]
    credential_process = sh -c "echo credmount: profile dev has no keys: AWS denied AssumeRole, run credmount status >&2 && exit 1"
    "#);
}

#[test]
fn live_only_credentials_have_no_sections() {
    let prod = name("prod");
    let text = credentials(&[(profile(&prod), live())], true);
    assert_eq!(*text, "# credmount: generated on open, do not edit\n");
}

#[test]
fn long_lived_keys_have_neither_token_nor_expiration() {
    let prod = name("prod");
    let mut keys = session();
    keys.session_token = None;
    let text = credentials(&[(profile(&prod), ProfileState::Live(Arc::new(keys)))], false);
    assert!(!text.contains("aws_session_token") && !text.contains("x_security_token_expires"));
}

#[test]
fn config_has_settings_and_a_live_profile_for_each() {
    let (default, prod) = (name("default"), name("prod"));
    let region = RegionName::parse("eu-west-1").unwrap();
    let settings = [
        ProfileSetting { key: "output".into(), value: "json".into(), nested: vec![] },
        ProfileSetting {
            key: "s3".into(),
            value: String::new(),
            nested: vec![("addressing_style".into(), "path".into())],
        },
    ];
    let profiles = [
        Profile { name: &default, region: Some(&region), settings: &[] },
        Profile { name: &prod, region: Some(&region), settings: &settings },
    ];
    let path = ReaderPath::parse("/root/.aws/").unwrap();
    insta::assert_snapshot!(*config(&profiles, &path, false, ""), @"
    # credmount: generated on open, do not edit
    [default]
    region = eu-west-1

    [profile prod]
    region = eu-west-1
    output = json
    s3 =
      addressing_style = path

    [profile default@live]
    region = eu-west-1
    credential_process = cat /root/.aws/credmount/process/default.json

    [profile prod@live]
    region = eu-west-1
    output = json
    s3 =
      addressing_style = path
    credential_process = cat /root/.aws/credmount/process/prod.json
    ");
    let live_only = config(&profiles[..1], &path, true, "");
    assert!(live_only.contains(
        "[default]\nregion = eu-west-1\n\
         credential_process = cat /root/.aws/credmount/process/default.json\n"
    ));
}

#[test]
fn a_reader_path_with_spaces_is_quoted_and_one_with_quotes_refused() {
    let prod = name("prod");
    let path = ReaderPath::parse("/home/my user/.aws").unwrap();
    let text = config(&[profile(&prod)], &path, false, "");
    assert!(text.contains("= cat \"/home/my user/.aws/credmount/process/prod.json\"\n"));
    for bad in ["relative", "/a'b", "/a\"b", "/a\\b", "/a\nb", "/a;b", "/a #b", "/a$b", "/a`b"] {
        assert!(ReaderPath::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn process_json_is_what_sdks_expect() {
    let text = process_json(&name("prod"), &live());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["Version"], 1);
    assert_eq!(json["AccessKeyId"], "ASIAEXAMPLE");
    assert_eq!(json["SecretAccessKey"], "wJalr/XUtn+FEMI");
    assert_eq!(json["SessionToken"], "IQoJb3JpZ2luX2VjE==");
    assert_eq!(json["Expiration"], "1971-01-01T01:00:00Z");
    assert_eq!(json["AccountId"], "123456789012");
    assert!(!text.contains('\n'));
}

#[test]
fn process_json_of_a_failing_profile_says_why_and_has_no_keys() {
    let text = process_json(&name("prod"), &failing());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let reason = "credmount: profile prod has no keys: AWS denied AssumeRole, run credmount status";
    assert_eq!(json["Version"], reason);
    assert_eq!(json.as_object().unwrap().len(), 1);
}

#[test]
fn the_reason_names_the_hop_that_failed_unless_it_is_the_role_itself() {
    let arn = "arn:aws:iam::123456789012:role/team/hub+=,.@-_x";
    let error = SessionError::new(arn, Cause::AccessDenied, "words of AWS");
    let reason = |error: &SessionError| failure_line(&name("prod"), error);
    assert!(!reason(&error).contains("hub"));
    assert_eq!(
        reason(&error.of_hop()),
        format!(
            "credmount: profile prod has no keys: AWS denied AssumeRole, at the hop {arn}, run \
             credmount status"
        )
    );
    let base = SessionError::new("base credentials", Cause::BaseExpired, "").of_hop();
    assert!(!reason(&base).contains("hop"));
    let strange = SessionError::new("arn:$(x) `y`", Cause::AccessDenied, "").of_hop();
    assert!(reason(&strange).contains("at the hop arn:__x___y_,"), "{}", reason(&strange));
}

#[test]
fn nothing_of_the_service_reaches_readers_of_a_failing_profile() {
    let line = failure_line(&name("prod"), &SessionError::new("arn", Cause::Rejected, "$(x)"));
    assert!(!line.contains('$') && !line.contains("arn"));
}

#[test]
fn readers_are_told_where_to_look() {
    let error = SessionError::new("", Cause::Unconfigured, "");
    let line = failure_line(&name("prod"), &error.at(Some(Place::new("config.toml line 3"))));
    let told =
        "the configuration of credmount is broken in config.toml line 3, run credmount status";
    assert!(line.ends_with(told), "{line}");
}

#[test]
fn every_reason_has_only_characters_that_are_safe_in_a_shell_and_an_ini_file() {
    for cause in Cause::ALL {
        let line = failure_line(&name("a.b_c@d+e"), &SessionError::new("", cause, ""));
        let safe = |c: char| c.is_ascii_alphanumeric() || " .,:_@+-".contains(c);
        assert!(line.chars().all(safe), "{line}");
    }
}

/// STS never answers this; if it did, one profile must not break the others.
#[test]
fn a_session_that_would_break_the_file_is_rendered_as_failing() {
    let prod = name("prod");
    for bad in ["a\nb", "a b #c", "", "a\"b", "å", "a\u{0}b"] {
        let mut keys = session();
        keys.session_token = Some(Secret::new(bad));
        let state = ProfileState::Live(Arc::new(keys));
        let text = credentials(&[(profile(&prod), state.clone())], false);
        assert!(text.contains("credential_process = sh -c"), "{text:?}");
        assert!(!text.contains("aws_secret_access_key"));
        assert!(process_json(&prod, &state).contains("unusable"));
    }
}

#[test]
fn instants_beyond_what_the_format_knows_do_not_panic() {
    assert_eq!(instant(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01T00:00:00Z");
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(instant(far), "9999-12-31T23:59:59Z");
}

/// The smallest INI reader: what every client agrees on.
fn parse(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut sections: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name.to_owned(), Vec::new()));
        } else {
            let (key, value) = line.split_once(" = ").expect("a key and a value");
            sections.last_mut().expect("a section").1.push((key.to_owned(), value.to_owned()));
        }
    }
    sections
}

proptest! {
    #[test]
    fn what_is_rendered_can_be_read_back(
        tokens in prop::collection::vec("[A-Za-z0-9/+=]{1,400}", 1..6), room in 0_usize..900,
    ) {
        let names: Vec<_> = (0..tokens.len()).map(|n| name(&format!("role-{n}"))).collect();
        let states = tokens.iter().map(|token| {
            let mut keys = session();
            keys.session_token = Some(Secret::new(token.as_str()));
            ProfileState::Live(Arc::new(keys))
        });
        let profiles: Vec<_> = names.iter().map(profile).zip(states).collect();
        let text = credentials(&profiles, false);
        let size = text.len() + room;
        let padded = pad(text, size, Padding::IniComment).unwrap();
        prop_assert_eq!(padded.len(), size);
        prop_assert!(padded.ends_with('\n'));
        let sections = parse(&padded);
        prop_assert_eq!(sections.len(), tokens.len());
        for ((section, keys), (expected, token)) in sections.iter().zip(names.iter().zip(&tokens)) {
            prop_assert_eq!(section, expected.as_str());
            prop_assert_eq!(&keys[2], &("aws_session_token".to_owned(), token.clone()));
        }
    }
}

#[test]
fn a_shell_takes_no_part_of_a_session_for_a_command() {
    let token = "a;echo b`id`$(id)'c\"\\d e\nf";
    let session = StsSession { session_token: Some(Secret::new(token)), ..session() };
    let script = format!("{}printf %s \"$AWS_SESSION_TOKEN\"", *shell_exports(None, &session));
    let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(shell.stdout).unwrap(), token);
    assert!(shell.stderr.is_empty());
}
