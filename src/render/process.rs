//! What one profile's own files hold: the process-credential JSON, and the reason of a failure.

use serde_json::json;

use super::{ProfileState, Text, instant};
use crate::broker::{Cause, SessionError};
use crate::model::{ProfileName, StsSession};

/// Renders `credmount/process/NAME.json`, which SDKs read by `credential_process = cat …` (AWS
/// SDKs and Tools Reference Guide, "Process credential provider").
///
/// For a failing profile `Version` holds the reason: clients refuse any version but 1, and most
/// show the one they found.
pub fn process_json(name: &ProfileName, state: &ProfileState) -> Text {
    match state {
        ProfileState::Live(session) if is_representable(session) => live(session),
        ProfileState::Live(_) => {
            failing(&failure_line(name, &SessionError::new("", Cause::BadAnswer, "")))
        }
        ProfileState::Failing(error) => failing(&failure_line(name, error)),
    }
}

/// The reason a profile has no keys, as readers see it: one generic line of characters that no
/// shell and no INI parser takes for anything else.
pub fn failure_line(name: &ProfileName, error: &SessionError) -> String {
    let name = plain(name.as_str());
    let sentence = error.cause.sentence();
    let place = match &error.place {
        Some(place) => format!(" in {}", place.as_str()),
        None if error.on_the_way && error.subject.starts_with("arn:") => {
            format!(", at the hop {}", plain(&error.subject))
        }
        None => String::new(),
    };
    let command = match error.cause {
        Cause::LoginNeeded => format!("login {name}"),
        _ => "status".to_owned(),
    };
    format!("credmount: profile {name} has no keys: {sentence}{place}, run credmount {command}")
}

/// `text` with nothing in it that a shell or a parser takes for anything else, and not longer than
/// an error message should be.
fn plain(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._@+,:-/=".contains(c);
    text.chars().take(LONGEST_NAME).map(|c| if legal(c) { c } else { '_' }).collect()
}

/// More than profile names and all but strange ARNs have, in characters.
const LONGEST_NAME: usize = 256;

/// Whether the parts of a session stand in our files without any quoting. STS answers nothing
/// else; an answer that does would break every profile of the file.
pub(super) fn is_representable(session: &StsSession) -> bool {
    // No space either, so nothing that a parser could take for a comment.
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
    };
    plain(&session.access_key_id)
        && plain(session.secret_access_key.expose())
        && session.session_token.as_ref().is_none_or(|token| plain(token.expose()))
}

fn live(session: &StsSession) -> Text {
    // Written by hand, because a serializer would leave copies of the keys in its buffers.
    // `is_representable` leaves nothing to escape.
    let token = session.session_token.as_ref().map_or("", |token| token.expose());
    let mut text = Text::new(String::with_capacity(token.len() + 512));
    for part in [
        "{\"Version\":1,\"AccessKeyId\":\"",
        &session.access_key_id,
        "\",\"SecretAccessKey\":\"",
        session.secret_access_key.expose(),
    ] {
        text.push_str(part);
    }
    if !token.is_empty() {
        text.push_str("\",\"SessionToken\":\"");
        text.push_str(token);
    }
    text.push_str("\",\"Expiration\":\"");
    text.push_str(&instant(session.expiration));
    if let Some(account_id) = &session.account_id {
        text.push_str("\",\"AccountId\":\"");
        text.push_str(account_id.as_str());
    }
    text.push_str("\"}");
    text
}

fn failing(line: &str) -> Text {
    Text::new(json!({ "Version": line }).to_string())
}
