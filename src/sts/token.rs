//! Web identity tokens from where they come from, and what STS says of them. Must not know the call
//! they are for.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::broker::{Cause, SessionError};
use crate::command::secret_output;
use crate::identity::{Logins, TokenError};
use crate::model::{RoleArn, Secret, TokenSource};

/// The longest token that STS takes, in bytes (STS API, `WebIdentityToken`).
const LONGEST_TOKEN: usize = 20_000;

/// A file system that hangs, as a network file system may, is given up after this time.
const FILE_DEADLINE: Duration = Duration::from_secs(8);

/// Why there is no token. `detail` is for the operator and holds nothing of the token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoToken {
    pub(super) cause: Cause,
    pub(super) detail: String,
    /// How long not to ask again, as an issuer said.
    retry_after: Option<Duration>,
}

impl NoToken {
    fn failed(source: &TokenSource, why: impl std::fmt::Display) -> Self {
        let (cause, detail) = (Cause::TokenSourceFailed, format!("{source}: {why}"));
        Self { cause, detail, retry_after: None }
    }

    pub(super) fn about(self, role_arn: &RoleArn) -> SessionError {
        SessionError::new(role_arn.as_str(), self.cause, &self.detail)
            .with_retry_after(self.retry_after)
    }
}

/// Asks `source` for a token: a file is read, a command run for up to `process_deadline`, an issuer
/// asked in the name of who is logged in.
pub(super) async fn read(
    source: &TokenSource,
    process_deadline: Duration,
    logins: Option<&Logins>,
) -> Result<Secret, NoToken> {
    let failed = |why: String| NoToken::failed(source, why);
    match source {
        TokenSource::File(path) => {
            let path = path.clone();
            let file = tokio::task::spawn_blocking(move || read_file(&path));
            let late = || failed("it cannot be read in time".to_owned());
            let text = timeout(FILE_DEADLINE, file).await.map_err(|_| late())?;
            let text = text.map_err(|_| late())?.map_err(|error| failed(error.to_string()))?;
            checked(&text).map_err(|why| failed(why.to_owned()))
        }
        TokenSource::Process(command) => {
            let output = secret_output(command, LONGEST_TOKEN, process_deadline).await;
            let output = output.map_err(|error| failed(error.to_string()))?;
            checked(output.expose()).map_err(|why| failed(why.to_owned()))
        }
        TokenSource::Identity(identity) => {
            let Some(logins) = logins else {
                return Err(failed(
                    "only a daemon holds logins; credmount status tells whether this role works there"
                        .to_owned(),
                ));
            };
            let token = logins.token_for_aws(identity).await.map_err(|error| {
                let (cause, detail, retry_after) = match error {
                    TokenError::LoginNeeded(detail) => (Cause::LoginNeeded, detail, None),
                    TokenError::Failed(detail) => (Cause::TokenSourceFailed, detail, None),
                    TokenError::Later(detail, wait) => {
                        (Cause::TokenSourceFailed, detail, Some(wait))
                    }
                };
                NoToken { cause, detail, retry_after }
            })?;
            checked(token.expose()).map_err(|why| failed(why.to_owned()))
        }
    }
}

/// The file as it is now. Anything but a regular file could keep us waiting, or never end.
fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_TOKEN + 2));
    fs::File::open(path)?.take(LONGEST_TOKEN as u64 + 2).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether `text` can be a token: what a header can hold, and no longer than STS takes.
fn checked(text: &str) -> Result<Secret, &'static str> {
    let token = text.trim();
    if token.is_empty() {
        return Err("it is empty");
    }
    if token.len() > LONGEST_TOKEN {
        return Err("it has more than 20000 bytes, and STS takes no more");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds a space, a line break or another character that no token has");
    }
    Ok(Secret::new(token))
}

/// Some error codes stand for keys and for tokens alike. A call with a token has no keys.
pub(super) fn cause_of(error: SessionError) -> SessionError {
    let cause = match error.cause {
        Cause::BaseExpired => Cause::TokenExpired,
        Cause::BaseInvalid => Cause::TokenInvalid,
        Cause::AccessDenied => Cause::WebIdentityDenied,
        cause => cause,
    };
    SessionError { cause, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    async fn file(content: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, content).unwrap();
        let token = read(&TokenSource::File(path), DEADLINE, None).await;
        token.map(|token| token.expose().to_owned()).map_err(|error| {
            assert_eq!(error.cause, Cause::TokenSourceFailed);
            let (_, why) = error.detail.rsplit_once(": ").unwrap();
            why.to_owned()
        })
    }

    #[tokio::test]
    async fn a_file_is_read_without_its_line_break() {
        assert_eq!(file(b"a.b.c\n").await.unwrap(), "a.b.c");
        let longest = "t".repeat(LONGEST_TOKEN);
        assert_eq!(file(format!("{longest}\n").as_bytes()).await.unwrap(), longest);
    }

    #[tokio::test]
    async fn what_can_be_no_token_is_told_and_not_repeated() {
        for (content, why) in [
            (&b"\n"[..], "it is empty"),
            (b"a b", "it holds a space, a line break or another character that no token has"),
            (b"a\nb", "it holds a space, a line break or another character that no token has"),
            (&vec![b't'; 20_001][..], "it has more than 20000 bytes, and STS takes no more"),
            (&vec![b't'; 3_000_000][..], "it has more than 20000 bytes, and STS takes no more"),
            (b"\xff", "stream did not contain valid UTF-8"),
        ] {
            assert_eq!(file(content).await.unwrap_err(), why);
        }
    }

    #[tokio::test]
    async fn a_missing_file_and_a_directory_are_told_with_their_path() {
        for (path, why) in [
            ("/nonexistent/token", "No such file or directory (os error 2)"),
            ("/", "it is no regular file"),
        ] {
            let error = read(&TokenSource::File(path.into()), DEADLINE, None).await.unwrap_err();
            assert_eq!(error.detail, format!("web identity token file {path}: {why}"));
        }
    }

    #[tokio::test]
    async fn a_command_is_run_anew_each_time_and_told_without_itself() {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("count");
        let command = format!("echo x >>{0}; wc -l <{0}", counter.display());
        let source = TokenSource::Process(command);
        for count in ["1", "2"] {
            assert_eq!(read(&source, DEADLINE, None).await.unwrap().expose(), count);
        }
        let failing = TokenSource::Process("echo secret; exit 2".to_owned());
        let error = read(&failing, DEADLINE, None).await.unwrap_err();
        assert_eq!(error.detail, "web_identity_process: it ended with exit status 2");
    }
}
