//! One sign-in over time: which token is good, when it is exchanged, and which ones AWS has refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::cache::{CacheError, Mark, Refresh, Registration, Token, TokenCache, mark};
use super::settings::{SsoProfile, SsoSession};
use super::{IdentityCenter, REFRESH_AHEAD};
use crate::broker::{Cause, SessionError};
use crate::model::Secret;
use crate::sts::detail::rfc3339;

/// A file of the cache and what is known of it.
#[derive(Debug)]
pub(super) struct SignIn {
    cache: TokenCache,
    file: PathBuf,
    /// Held while a token is exchanged, so that each refresh token is used once.
    pub(super) turn: Arc<tokio::sync::Mutex<Option<Failed>>>,
    /// Exchanges that have ended.
    exchanges: AtomicU64,
    memory: Mutex<Memory>,
}

/// An exchange that gave nothing.
#[derive(Debug)]
pub(super) struct Failed {
    error: SessionError,
    number: u64,
}

#[derive(Debug, Default)]
struct Memory {
    /// The state of the file when it was read last; `None` before.
    seen: Option<Mark>,
    /// A token that could not be written, and what the file was like then.
    kept: Option<(Token, Mark)>,
    /// The access token that the portal has refused.
    refused: Option<Secret>,
    /// The refresh token that gave nothing.
    spent: Option<Secret>,
    state: State,
    /// When somebody was told last that the file has changed.
    told: Option<Instant>,
}

/// What became of the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Unknown,
    /// AWS took the token.
    Good,
    /// Somebody has to sign in, and the log says so.
    Needed,
}

/// A change of the file is told no sooner after the one before. Two daemons whose fresh tokens the
/// portal refuses would else answer each other's exchange by one of their own, without a pause.
const CHANGE_PAUSE: Duration = Duration::from_secs(10);

impl SignIn {
    pub(super) fn new(cache: TokenCache, file: PathBuf) -> Self {
        let (turn, exchanges) = (Arc::default(), AtomicU64::new(0));
        Self { cache, file, turn, exchanges, memory: Mutex::default() }
    }

    /// A token that is good now as far as can be told here, exchanged for another one if it is
    /// about to end.
    ///
    /// # Errors
    /// `LoginNeeded` if there is none; why another one could not be had, where that may pass.
    pub(super) async fn token(
        self: &Arc<Self>,
        center: &Arc<IdentityCenter>,
        subject: &str,
        profile: &SsoProfile,
    ) -> Result<Secret, SessionError> {
        let seen = self.exchanges.load(Ordering::Relaxed);
        let turn = self.turn.clone().lock_owned().await;
        let needed = |why: &str| {
            let error = profile.login_needed(subject, why);
            self.warn_once(&error);
            Err(error)
        };
        let token = match self.read() {
            Ok(token) => token,
            Err(error @ CacheError::Mounted { .. }) => {
                return Err(SessionError::new(subject, Cause::Misconfigured, &error.to_string()));
            }
            Err(error) => return needed(&error.to_string()),
        };
        let now = center.machine_now();
        let is_good = self.is_good(&token) && now < token.expires_at;
        if is_good && now + REFRESH_AHEAD < token.expires_at {
            return Ok(token.access);
        }
        let usable = |refresh: &Refresh| {
            // AWS tells the end of a registration as an instant.
            center.now() < refresh.client.expires_at
                && self.memory.lock().spent.as_ref() != Some(&refresh.token)
        };
        let refresh = token.refresh.clone().filter(usable);
        // Who has waited for an exchange does not try as well: all would wait one after the other.
        let failed = turn.as_ref().filter(|failed| seen < failed.number);
        let failed = failed.map(|failed| failed.error.clone());
        let error = match (refresh, failed) {
            (None, _) => None,
            (Some(_), Some(error)) => Some(SessionError { subject: subject.to_owned(), ..error }),
            (Some(refresh), None) => {
                // A task of its own: whoever asks may give up at any time, and with the answer the
                // next refresh token would be lost.
                let (center, profile) = (center.clone(), profile.clone());
                let (subject, access) = (subject.to_owned(), token.access.clone());
                let given = self.clone().exchange(center, subject, profile, access, refresh, turn);
                match tokio::spawn(given).await {
                    Ok(Ok(access)) => return Ok(access),
                    Ok(Err(error)) => Some(error),
                    Err(_) => None,
                }
            }
        };
        if is_good {
            return Ok(token.access);
        }
        match error {
            Some(error) => {
                if error.cause == Cause::LoginNeeded {
                    self.warn_once(&error);
                }
                Err(error)
            }
            None if token.expires_at <= now => {
                needed(&format!("it ended at {}", rfc3339(token.expires_at)))
            }
            None => needed("AWS no longer accepts it"),
        }
    }

    /// Exchanges `refresh`, which came with the token `before`, for the next token, and says to those
    /// who wait what came of it.
    async fn exchange(
        self: Arc<Self>,
        center: Arc<IdentityCenter>,
        subject: String,
        profile: SsoProfile,
        before: Secret,
        refresh: Refresh,
        mut turn: OwnedMutexGuard<Option<Failed>>,
    ) -> Result<Secret, SessionError> {
        let given = center.refreshed(&subject, &profile, &refresh).await;
        // Somebody else may have been quicker, or has signed in anew: that is not written over.
        let now = center.machine_now();
        let is_other = |token: &Token| token.access != before && now < token.expires_at;
        let other = self.read().ok().filter(is_other).map(|other| other.access);
        let outcome = match (given, other) {
            (Ok(_), Some(other)) => Ok(other),
            (Ok(token), None) => {
                self.keep(&profile.session, &token);
                Ok(token.access)
            }
            (Err(error), other) if error.cause == Cause::LoginNeeded => {
                self.memory.lock().spent = Some(refresh.token);
                other.ok_or(error)
            }
            (Err(error), _) => Err(error),
        };
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
        *turn = outcome.as_ref().err().map(|error| Failed { error: error.clone(), number });
        outcome
    }

    /// Whether the file may be used.
    ///
    /// # Errors
    /// [`CacheError::Mounted`].
    pub(super) fn check(&self) -> Result<(), CacheError> {
        self.cache.check(&self.file)
    }

    /// Writes the token of a new sign-in.
    ///
    /// # Errors
    /// As [`TokenCache::write`].
    pub(super) fn store(
        &self,
        session: &SsoSession,
        token: &Token,
        client: &Registration,
    ) -> Result<(), CacheError> {
        let (url, region) = (&session.start_url, session.region.as_str());
        self.cache.write(&self.file, url, region, token, Some(client)).map(|_mark| ())
    }

    /// The portal does not accept this token.
    pub(super) fn refused(&self, token: &Secret) {
        let mut memory = self.memory.lock();
        memory.refused = Some(token.clone());
        memory.state = match memory.state {
            State::Good => State::Unknown,
            other => other,
        };
    }

    /// A token was accepted.
    pub(super) fn healed(&self, session: &SsoSession) {
        let before = std::mem::replace(&mut self.memory.lock().state, State::Good);
        if before == State::Needed {
            tracing::info!(sign_in = session.label(), "signed in again");
        }
    }

    /// Says in the log that somebody has to sign in, once until somebody has.
    pub(super) fn warn_once(&self, error: &SessionError) {
        let before = std::mem::replace(&mut self.memory.lock().state, State::Needed);
        if before != State::Needed {
            tracing::warn!(%error, "a login is needed");
        }
    }

    /// Whether it is worth to try again: the file is in another state than when it was read last, or
    /// the sign-in was good for somebody else since.
    pub(super) fn may_be_good(&self, now: Instant) -> bool {
        if self.memory.lock().state == State::Good {
            return true;
        }
        if self.check().is_err() {
            return false;
        }
        let mark = mark(&self.file);
        let mut memory = self.memory.lock();
        let is_told = memory.told.is_some_and(|told| now < told + CHANGE_PAUSE);
        if is_told || memory.seen == Some(mark) {
            return false;
        }
        memory.told = Some(now);
        true
    }

    fn is_good(&self, token: &Token) -> bool {
        self.memory.lock().refused.as_ref() != Some(&token.access)
    }

    /// What the file holds, or what it should.
    fn read(&self) -> Result<Token, CacheError> {
        self.check()?;
        let now = mark(&self.file);
        if let Some((token, then)) = &self.memory.lock().kept
            && *then == now
        {
            return Ok(token.clone());
        }
        let read = self.cache.read(&self.file);
        let mut memory = self.memory.lock();
        memory.kept = None;
        match read {
            Ok((token, mark)) => {
                memory.seen = Some(mark);
                Ok(token)
            }
            Err(error) => {
                memory.seen = Some(now);
                Err(error)
            }
        }
    }

    /// Writes a new token; one that cannot be written stays in memory.
    fn keep(&self, session: &SsoSession, token: &Token) {
        let (url, region) = (&session.start_url, session.region.as_str());
        match self.cache.write(&self.file, url, region, token, None) {
            Ok(mark) => self.memory.lock().seen = Some(mark),
            Err(error) => {
                tracing::warn!(%error, "the renewed sign-in cannot be written, so other programs \
                                        may have to sign in anew");
                self.memory.lock().kept = Some((token.clone(), mark(&self.file)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;
    use crate::model::RegionName;

    fn session() -> SsoSession {
        SsoSession {
            name: Some("corp".to_owned()),
            start_url: "https://s".to_owned(),
            region: RegionName::parse("eu-west-1").unwrap(),
            scopes: Vec::new(),
        }
    }

    fn token(text: &str) -> Token {
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        Token { access: Secret::new(text), expires_at, refresh: None }
    }

    fn sign_in(home: &std::path::Path) -> SignIn {
        let cache = TokenCache { directory: home.join("cache"), above: |_| None };
        let file = cache.file("name");
        SignIn::new(cache, file)
    }

    #[test]
    fn what_others_write_is_noticed_and_what_we_write_is_not() {
        let home = tempfile::tempdir().unwrap();
        let (ours, others) = (sign_in(home.path()), sign_in(home.path()));
        let mut now = Instant::now();
        let mut has_changed = || {
            now += CHANGE_PAUSE;
            ours.may_be_good(now)
        };
        assert!(has_changed(), "it was never looked at");
        assert!(matches!(ours.read(), Err(CacheError::Missing)));
        assert!(!has_changed());
        others.keep(&session(), &token("a"));
        assert!(has_changed());
        assert_eq!(ours.read().unwrap(), token("a"));
        assert!(!has_changed());
        ours.keep(&session(), &token("b"));
        assert!(!has_changed());
        fs::remove_file(&ours.file).unwrap();
        assert!(has_changed());
    }

    #[test]
    fn all_who_wait_hear_of_a_good_sign_in_and_of_changes_only_now_and_then() {
        let home = tempfile::tempdir().unwrap();
        let sign_in = sign_in(home.path());
        let now = Instant::now();
        assert!(sign_in.may_be_good(now));
        assert!(!sign_in.may_be_good(now), "that was told");
        assert!(sign_in.may_be_good(now + CHANGE_PAUSE));
        // The first one has read the file and found it good.
        assert!(sign_in.read().is_err());
        sign_in.healed(&session());
        assert!(sign_in.may_be_good(now) && sign_in.may_be_good(now));
        sign_in.warn_once(&SessionError::new("", Cause::LoginNeeded, ""));
        assert!(!sign_in.may_be_good(now + CHANGE_PAUSE * 2));
    }

    #[test]
    fn a_token_that_cannot_be_written_is_kept_until_another_stands_in_the_file() {
        let home = tempfile::tempdir().unwrap();
        let sign_in = sign_in(home.path());
        sign_in.keep(&session(), &token("a"));
        // No directory can be where a file is.
        fs::rename(home.path().join("cache"), home.path().join("aside")).unwrap();
        fs::write(home.path().join("cache"), "").unwrap();
        sign_in.keep(&session(), &token("b"));
        assert_eq!(sign_in.read().unwrap(), token("b"));
        fs::remove_file(home.path().join("cache")).unwrap();
        assert_eq!(sign_in.read().unwrap(), token("b"), "there is still no file");
        fs::rename(home.path().join("aside"), home.path().join("cache")).unwrap();
        assert_eq!(sign_in.read().unwrap(), token("a"), "somebody has put one there");
    }

    #[test]
    fn a_refused_token_is_no_longer_good_and_the_next_one_is() {
        let home = tempfile::tempdir().unwrap();
        let sign_in = sign_in(home.path());
        sign_in.refused(&token("a").access);
        assert!(!sign_in.is_good(&token("a")));
        assert!(sign_in.is_good(&token("b")));
    }
}
