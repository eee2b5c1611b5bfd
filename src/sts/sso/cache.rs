//! The files of `~/.aws/sso/cache`, in the form of the AWS CLI and the SDKs. Must not know AWS.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::MountAbove;
use crate::model::Secret;
use crate::sts::detail::rfc3339;

/// No token file is longer, in bytes; tokens of AWS are a few KiB.
const LONGEST_FILE: usize = 64 * 1024;

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct TokenCache {
    pub(super) directory: PathBuf,
    /// Tells whether it lies within a mount of ours.
    pub(super) above: MountAbove,
}

/// What a sign-in has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) access: Secret,
    pub(super) expires_at: SystemTime,
    /// What it takes to get another one.
    pub(super) refresh: Option<Refresh>,
}

/// See [`Token::refresh`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refresh {
    pub(super) token: Secret,
    pub(super) client: Registration,
}

/// A client that the OIDC service knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) expires_at: SystemTime,
}

/// Which state of a file it was: its inode, size and time of change.
pub(super) type Mark = Option<(u64, u64, i64, i64)>;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    /// The file would be read through our own mount, or written to a file system in memory.
    #[error(
        "{} is inside the mount {}: mount elsewhere, as on ~/.aws-live, so that sign-ins stay with \
         those of the AWS CLI", path.display(), mount.display()
    )]
    Mounted {
        /// The file.
        path: PathBuf,
        /// The mount.
        mount: PathBuf,
    },
    /// There is none.
    #[error("nobody has signed in")]
    Missing,
    /// Its content is no token.
    #[error("{} is not of the form that the AWS CLI writes", .0.display())]
    Malformed(PathBuf),
    /// The operating system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenFile<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    expires_at: String,
    #[serde(borrow)]
    refresh_token: Option<Cow<'a, str>>,
    client_id: Option<String>,
    #[serde(borrow)]
    client_secret: Option<Cow<'a, str>>,
    registration_expires_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationFile<'a> {
    client_id: String,
    #[serde(borrow)]
    client_secret: Cow<'a, str>,
    expires_at: String,
}

/// What is written; a value that is `None` is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

impl TokenCache {
    /// The file of a stem.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name).with_extension("json")
    }

    /// The token in a file, and which state of the file it was.
    ///
    /// # Errors
    /// [`CacheError`].
    pub(super) fn read(&self, path: &Path) -> Result<(Token, Mark), CacheError> {
        // Looked at first: what is written meanwhile then counts as a change.
        let mark = mark(path);
        let bytes = self.content(path)?;
        let malformed = || CacheError::Malformed(path.to_owned());
        let file: TokenFile<'_> = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        let expires_at = instant(&file.expires_at).ok_or_else(malformed)?;
        let registered = file.registration_expires_at.as_deref().and_then(instant);
        let client = match (file.client_id, file.client_secret, registered) {
            (Some(id), Some(secret), Some(expires_at)) => {
                Some(Registration { id, secret: Secret::new(secret), expires_at })
            }
            _ => None,
        };
        let refresh = file.refresh_token.zip(client);
        let token = Token {
            access: Secret::new(file.access_token),
            expires_at,
            refresh: refresh.map(|(token, client)| Refresh { token: Secret::new(token), client }),
        };
        Ok((token, mark))
    }

    /// Writes a token, in one step, for the owner alone; returns the state of the file then.
    ///
    /// # Errors
    /// [`CacheError::Mounted`] and [`CacheError::Io`].
    pub(super) fn write(
        &self,
        path: &Path,
        start_url: &str,
        region: &str,
        token: &Token,
        client: Option<&Registration>,
    ) -> Result<Mark, CacheError> {
        let client = token.refresh.as_ref().map(|refresh| &refresh.client).or(client);
        self.replace(
            path,
            &Written {
                start_url: Some(start_url),
                region: Some(region),
                access_token: Some(token.access.expose()),
                expires_at: rfc3339(token.expires_at),
                client_id: client.map(|client| client.id.as_str()),
                client_secret: client.map(|client| client.secret.expose()),
                registration_expires_at: client.map(|client| rfc3339(client.expires_at)),
                refresh_token: token.refresh.as_ref().map(|refresh| refresh.token.expose()),
            },
        )?;
        Ok(mark(path))
    }

    /// The registration in a file, if there is a whole one.
    pub(super) fn read_registration(&self, path: &Path) -> Option<Registration> {
        let bytes = self.content(path).ok()?;
        let file: RegistrationFile<'_> = serde_json::from_slice(&bytes).ok()?;
        let expires_at = instant(&file.expires_at)?;
        Some(Registration {
            id: file.client_id,
            secret: Secret::new(file.client_secret),
            expires_at,
        })
    }

    /// Writes a registration as [`TokenCache::write`] does a token.
    ///
    /// # Errors
    /// As there.
    pub(super) fn write_registration(
        &self,
        path: &Path,
        client: &Registration,
    ) -> Result<(), CacheError> {
        self.replace(
            path,
            &Written {
                start_url: None,
                region: None,
                access_token: None,
                expires_at: rfc3339(client.expires_at),
                client_id: Some(&client.id),
                client_secret: Some(client.secret.expose()),
                registration_expires_at: None,
                refresh_token: None,
            },
        )
    }

    /// Refuses a path within a mount of ours.
    ///
    /// # Errors
    /// [`CacheError::Mounted`].
    pub(super) fn check(&self, path: &Path) -> Result<(), CacheError> {
        match (self.above)(path) {
            Some(mount) => Err(CacheError::Mounted { path: path.to_owned(), mount }),
            None => Ok(()),
        }
    }

    fn content(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, CacheError> {
        self.check(path)?;
        let read = || -> io::Result<Zeroizing<Vec<u8>>> {
            let file = File::open(path)?;
            // As large as it may become, so that growing leaves no copies.
            let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_FILE + 1));
            file.take(LONGEST_FILE as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CacheError::Missing,
            _ => CacheError::Io { path: path.to_owned(), error },
        })
    }

    fn replace(&self, path: &Path, written: &Written<'_>) -> Result<(), CacheError> {
        self.check(path)?;
        let write = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let unfinished = path.with_extension(format!("{:016x}.tmp", fastrand::u64(..)));
            let mut text = Zeroizing::new(Vec::with_capacity(LONGEST_FILE));
            serde_json::to_writer(&mut *text, written)?;
            let mut options = File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
            let done = file.write_all(&text).and_then(|()| file.sync_all());
            let done = done.and_then(|()| fs::rename(&unfinished, path));
            if done.is_err() {
                // What cannot be finished must not stay; whether that works changes nothing.
                let _ = fs::remove_file(&unfinished);
            }
            done
        };
        write().map_err(|error| CacheError::Io { path: path.to_owned(), error })
    }
}

/// Which state a file is in now; `None` if there is none.
pub(super) fn mark(path: &Path) -> Mark {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

/// An instant as RFC 3339, also with `UTC` in the place of `Z`, which old versions of the AWS CLI
/// wrote.
fn instant(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix("UTC").map_or_else(|| text.into(), |text| format!("{text}Z"));
    DateTime::from_str(&text, Format::DateTimeWithOffset).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn cache(directory: &Path) -> TokenCache {
        TokenCache { directory: directory.join(".aws/sso/cache"), above: |_| None }
    }

    fn token() -> Token {
        let client =
            Registration { id: "id".into(), secret: Secret::new("cs"), expires_at: at(4000) };
        let refresh = Some(Refresh { token: Secret::new("rt"), client });
        Token { access: Secret::new("at"), expires_at: at(3600), refresh }
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_by_the_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        let path = cache.file("name");
        let written = cache.write(&path, "https://start", "eu-west-1", &token(), None).unwrap();
        assert_eq!(cache.read(&path).unwrap(), (token(), written));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"startUrl\":\"https://start\",\"region\":\"eu-west-1\",\"accessToken\":\"at\",\
             \"expiresAt\":\"1970-01-01T01:00:00Z\",\"clientId\":\"id\",\"clientSecret\":\"cs\",\
             \"registrationExpiresAt\":\"1970-01-01T01:06:40Z\",\"refreshToken\":\"rt\"}"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&cache.directory)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&cache.directory).unwrap().count(), 1, "nothing else stays");
    }

    #[test]
    fn what_others_write_is_read() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        fs::create_dir_all(&cache.directory).unwrap();
        let path = cache.file("name");
        for expires_at in
            ["1970-01-01T01:00:00Z", "1970-01-01T01:00:00UTC", "1970-01-01T02:00:00+01:00"]
        {
            let text =
                format!("{{\"accessToken\": \"at\", \"expiresAt\": \"{expires_at}\", \"x\": [1]}}");
            fs::write(&path, text).unwrap();
            let (read, _) = cache.read(&path).unwrap();
            assert_eq!(read, Token { refresh: None, ..token() }, "{expires_at}");
        }
    }

    #[test]
    fn a_file_that_is_no_token_is_told_without_its_content() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        fs::create_dir_all(&cache.directory).unwrap();
        let path = cache.file("name");
        assert!(matches!(cache.read(&path), Err(CacheError::Missing)));
        for text in [
            "",
            "{",
            "{\"accessToken\":\"hidden\"}",
            "{\"accessToken\":\"hidden\",\"expiresAt\":\"x\"}",
        ] {
            fs::write(&path, text).unwrap();
            let error = cache.read(&path).unwrap_err();
            assert!(matches!(error, CacheError::Malformed(_)), "{text}");
            assert!(!format!("{error} {error:?}").contains("hidden"));
        }
    }

    #[test]
    fn a_registration_is_read_as_it_was_written() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        let client = token().refresh.unwrap().client;
        let path = cache.file("registration");
        assert_eq!(cache.read_registration(&path), None);
        cache.write_registration(&path, &client).unwrap();
        assert_eq!(cache.read_registration(&path), Some(client));
    }

    #[test]
    fn nothing_is_read_or_written_through_our_own_mount() {
        let home = tempfile::tempdir().unwrap();
        let cache = TokenCache { above: |_| Some("/h/.aws".into()), ..cache(home.path()) };
        let path = cache.file("name");
        let refused = cache.write(&path, "s", "r", &token(), None).unwrap_err();
        assert!(refused.to_string().contains("inside the mount /h/.aws"), "{refused}");
        assert!(matches!(cache.read(&path), Err(CacheError::Mounted { .. })));
        assert!(!cache.directory.exists());
    }
}
