//! What of a foreign error may be repeated: one bounded line without secrets.

use std::error::Error;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use crate::model::{Secret, StsSession};

/// The longest detail, in characters.
const LONGEST: usize = 300;
/// Secrets shorter than this are not searched for: they would match by chance.
const SHORTEST_SECRET: usize = 8;

/// What a call carried that no error may repeat.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signer<'a> {
    /// It carried nothing secret.
    Nobody,
    /// It was signed.
    Session(&'a StsSession),
    /// It brought along a web identity token.
    Token(&'a Secret),
    /// It brought along all of these.
    Secrets(&'a [&'a Secret]),
}

impl<'a> Signer<'a> {
    fn secrets(self) -> impl Iterator<Item = &'a str> {
        let (session, token, secrets) = match self {
            Self::Nobody => (None, None, &[][..]),
            Self::Session(session) => (Some(session), None, &[][..]),
            Self::Token(token) => (None, Some(token), &[][..]),
            Self::Secrets(secrets) => (None, None, secrets),
        };
        let of_session = |session: &'a StsSession| {
            std::iter::once(&session.secret_access_key).chain(&session.session_token)
        };
        let given = token.into_iter().chain(secrets.iter().copied());
        session.into_iter().flat_map(of_session).chain(given).map(Secret::expose)
    }
}

/// `text` cut to its first line and to 300 characters, without control characters and without
/// the secrets of `signer`. The first line is enough: STS puts the canonical request, which
/// repeats the session token, on lines of their own.
pub(super) fn sanitised(text: &str, signer: Signer<'_>) -> String {
    let mut line = text.trim_start().lines().next().unwrap_or_default().to_owned();
    for secret in signer.secrets() {
        if secret.len() >= SHORTEST_SECRET {
            line = line.replace(secret, "[redacted]");
        }
    }
    let mut line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((cut, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(cut);
        line.push('…');
    }
    line.trim_end().to_owned()
}

/// `error` and its sources, outermost first.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The words of the innermost source: what the operating system or the TLS library said.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// `instant` as RFC 3339. Unlike `humantime` it does not panic over instants before 1970, which
/// an answer may hold.
pub(super) fn rfc3339(instant: SystemTime) -> String {
    DateTime::from(instant)
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| "an instant out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> StsSession {
        StsSession {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI"),
            session_token: Some(Secret::new("FwoGZXIvYXdz")),
            account_id: None,
            issued: SystemTime::UNIX_EPOCH,
            expiration: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn only_the_first_line_is_repeated() {
        let message = "does not match.\n\nThe Canonical String: x-amz-security-token:FwoG";
        assert_eq!(sanitised(message, Signer::Nobody), "does not match.");
    }

    #[test]
    fn secrets_of_the_session_are_redacted() {
        let message = "got wJalrXUtnFEMI and FwoGZXIvYXdz from ASIAEXAMPLE";
        assert_eq!(
            sanitised(message, Signer::Session(&session())),
            "got [redacted] and [redacted] from ASIAEXAMPLE"
        );
    }

    #[test]
    fn a_web_identity_token_is_redacted() {
        let token = Secret::new("eyJhbGciOi.eyJpc3Mi.c2lnbmF0dXJl");
        let message = format!("no: {}", token.expose());
        assert_eq!(sanitised(&message, Signer::Token(&token)), "no: [redacted]");
    }

    #[test]
    fn each_of_several_secrets_is_redacted() {
        let (client, refresh) = (Secret::new("client-secret"), Secret::new("refresh-token"));
        let secrets = [&client, &refresh];
        let message = "no: refresh-token of client-secret";
        assert_eq!(sanitised(message, Signer::Secrets(&secrets)), "no: [redacted] of [redacted]");
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(sanitised("a\u{1b}[31m\tb\u{7}", Signer::Nobody), "a [31m b");
    }

    #[test]
    fn a_long_message_is_cut() {
        let cut = sanitised(&"ä".repeat(1000), Signer::Nobody);
        assert_eq!(cut.chars().count(), LONGEST + 1);
    }
}
