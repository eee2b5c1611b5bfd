//! What is rendered can be read back: each key as it came, or a profile that fails and says so.
//! Never a section more or less, whatever a session holds.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use credmount::broker::{Cause, SessionError};
use credmount::model::{AccountId, ProfileName, Secret, StsSession};
use credmount::render::{
    Padding, Profile, ProfileState, credentials, failure_line, pad, process_json, roomy,
};
use credmount_fuzz::ini::{self, Section};
use credmount_fuzz::noon;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    profiles: Vec<(String, State)>,
    live_only: bool,
    room: u16,
}

#[derive(Debug, Arbitrary)]
enum State {
    Live { id: String, secret: String, token: Option<String>, account: [u8; 12], expires: i32 },
    Failing { cause: u8, subject: String, detail: String },
}

impl State {
    fn state(&self) -> ProfileState {
        match self {
            Self::Live { id, secret, token, account, expires } => {
                let account = account.map(|digit| char::from(b'0' + digit % 10));
                let from_now = Duration::from_secs(expires.unsigned_abs().into());
                let expiration = if *expires < 0 { noon() - from_now } else { noon() + from_now };
                ProfileState::Live(Arc::new(StsSession {
                    access_key_id: id.clone(),
                    secret_access_key: Secret::new(secret.as_str()),
                    session_token: token.as_deref().map(Secret::new),
                    account_id: AccountId::parse(&String::from_iter(account)).ok(),
                    issued: noon(),
                    expiration,
                }))
            }
            Self::Failing { cause, subject, detail } => {
                let cause = Cause::ALL[usize::from(*cause) % Cause::ALL.len()];
                ProfileState::Failing(SessionError::new(subject, cause, detail))
            }
        }
    }

    /// Its section has the keys, or a command that tells why there are none.
    fn check(&self, (_, pairs): &Section) {
        let value = |key: &str| {
            let mut found = pairs.iter().filter(|(name, _)| name == key);
            let value = found.next().map(|(_, value)| value.as_str());
            assert!(found.next().is_none(), "{key} twice");
            value
        };
        if let Some(command) = value("credential_process") {
            assert_eq!(pairs.len(), 1, "keys beside a failure: {pairs:?}");
            assert!(
                command.starts_with("sh -c \"echo credmount: ") && command.ends_with(" exit 1\"")
            );
            assert_eq!(command.matches(['"', '$', '`', '\\', ';']).count(), 2, "{command}");
            return;
        }
        let Self::Live { id, secret, token, .. } = self else { panic!("keys from a failure") };
        assert_eq!(value("aws_access_key_id"), Some(id.as_str()));
        assert_eq!(value("aws_secret_access_key"), Some(secret.as_str()));
        assert_eq!(value("aws_session_token"), token.as_deref());
    }

    fn check_json(&self, text: &str) {
        let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let object = json.as_object().expect("an object");
        match (self, &json["Version"]) {
            (Self::Live { id, secret, token, .. }, serde_json::Value::Number(_)) => {
                assert_eq!(json["Version"], 1);
                assert_eq!(json["AccessKeyId"], id.as_str());
                assert_eq!(json["SecretAccessKey"], secret.as_str());
                let sent = token.as_deref();
                assert_eq!(json.get("SessionToken").and_then(|it| it.as_str()), sent);
                assert!(json["Expiration"].as_str().is_some_and(|at| at.ends_with('Z')));
            }
            (_, serde_json::Value::String(reason)) => {
                assert!(reason.starts_with("credmount: profile ") && object.len() == 1, "{json}");
            }
            _ => panic!("{json}"),
        }
    }
}

fuzz_target!(|input: Input| {
    let named = input
        .profiles
        .iter()
        .take(8)
        .filter_map(|(name, state)| Some((ProfileName::parse(name).ok()?, state)));
    let named: Vec<(ProfileName, &State)> = named.collect();
    let profiles: Vec<(Profile<'_>, ProfileState)> = named
        .iter()
        .map(|(name, state)| (Profile { name, region: None, settings: &[] }, state.state()))
        .collect();
    let text = credentials(&profiles, input.live_only);
    let length = text.len();
    let size = roomy(length, named.len()) + usize::from(input.room % 1024);
    let text = pad(text, size, Padding::IniComment).expect("room for the text");
    assert_eq!(text.len(), size);
    let sections = ini::sections(&text);
    if input.live_only {
        assert!(sections.is_empty(), "{}", *text);
    } else {
        assert_eq!(sections.len(), named.len(), "{}", *text);
        for (section, (name, state)) in sections.iter().zip(&named) {
            assert_eq!(section.0, name.as_str());
            state.check(section);
        }
    }
    for ((name, given), (_, state)) in named.iter().zip(&profiles) {
        let json = process_json(name, state);
        let size = roomy(json.len(), 1);
        given.check_json(&pad(json, size, Padding::Spaces).expect("room for the text"));
        if let ProfileState::Failing(error) = state {
            let line = failure_line(name, error);
            let safe = |c: char| c.is_ascii_alphanumeric() || " .,:_@+-".contains(c);
            assert!(line.chars().all(safe), "{line:?}");
        }
    }
});
