//! The `credentials` file.

use super::ini::IniWriter;
use super::process::{failure_line, is_representable};
use super::{Profile, ProfileState, Text, instant};
use crate::broker::{Cause, SessionError};

/// Renders `credentials`: a section per profile, static keys where there are any, and for a
/// failing profile only a `credential_process` that says why and exits 1. (An errno, or a missing
/// section, would let SDKs fall through to the role of the instance.)
///
/// With `live_only`, profiles get their keys by way of `config` and this file has no sections.
pub fn credentials(profiles: &[(Profile<'_>, ProfileState)], live_only: bool) -> Text {
    let sections = if live_only { &[] } else { profiles };
    let mut ini = IniWriter::new(sections.iter().map(|(_, state)| capacity(state)).sum());
    for (profile, state) in sections {
        ini.section(profile.name.as_str());
        match state {
            ProfileState::Live(session) if is_representable(session) => {
                ini.line("aws_access_key_id", &session.access_key_id);
                ini.line("aws_secret_access_key", session.secret_access_key.expose());
                if let Some(token) = &session.session_token {
                    ini.line("aws_session_token", token.expose());
                }
                if let Some(account_id) = &session.account_id {
                    ini.line("aws_account_id", account_id.as_str());
                }
                if session.session_token.is_some() {
                    ini.line("x_security_token_expires", &instant(session.expiration));
                }
            }
            ProfileState::Live(_) => {
                let error = SessionError::new("", Cause::BadAnswer, "");
                ini.line("credential_process", &loud(profile, &error));
            }
            ProfileState::Failing(error) => {
                ini.line("credential_process", &loud(profile, error));
            }
        }
    }
    ini.finish()
}

/// A command that prints the reason and fails. `sh -c "… && exit 1"` is understood alike by
/// clients that split words themselves and by those that pass the line to a shell.
fn loud(profile: &Profile<'_>, error: &SessionError) -> String {
    format!("sh -c \"echo {} >&2 && exit 1\"", failure_line(profile.name, error))
}

fn capacity(state: &ProfileState) -> usize {
    let keys = match state {
        ProfileState::Live(session) => {
            let token = session.session_token.as_ref().map_or(0, |token| token.expose().len());
            session.access_key_id.len() + session.secret_access_key.expose().len() + token
        }
        ProfileState::Failing(_) => 0,
    };
    keys + SECTION_CAPACITY
}

/// More than a section can hold beside its keys: a name of at most 128 characters, a reason with
/// the hop that failed, and fixed texts.
const SECTION_CAPACITY: usize = 1024;
