//! One sign-in over time: which token is good, when it is exchanged, and which ones AWS has refused.

use std::path::PathBuf;

use parking_lot::Mutex;

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
    turn: tokio::sync::Mutex<()>,
    memory: Mutex<Memory>,
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
    /// Whether the log says that somebody has to sign in.
    warned: bool,
}

impl SignIn {
    pub(super) fn new(cache: TokenCache, file: PathBuf) -> Self {
        Self { cache, file, turn: tokio::sync::Mutex::default(), memory: Mutex::default() }
    }

    /// A token that is good now as far as can be told here, exchanged for another one if it is
    /// about to end.
    ///
    /// # Errors
    /// `LoginNeeded` if there is none; why another one could not be had, where that may pass.
    pub(super) async fn token(
        &self,
        center: &IdentityCenter,
        subject: &str,
        profile: &SsoProfile,
    ) -> Result<Secret, SessionError> {
        let _turn = self.turn.lock().await;
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
        let now = center.now();
        let is_good = self.is_good(&token) && now < token.expires_at;
        if is_good && now + REFRESH_AHEAD < token.expires_at {
            return Ok(token.access);
        }
        let usable = |refresh: &&Refresh| {
            now < refresh.client.expires_at
                && self.memory.lock().spent.as_ref() != Some(&refresh.token)
        };
        let error = match token.refresh.as_ref().filter(usable) {
            None => None,
            Some(refresh) => match center.refreshed(subject, profile, refresh).await {
                Ok(token) => {
                    self.keep(&profile.session, &token);
                    return Ok(token.access);
                }
                Err(error) if error.cause == Cause::LoginNeeded => {
                    self.memory.lock().spent = Some(refresh.token.clone());
                    // Somebody else may have been quicker, and have got the next one.
                    if let Ok(other) = self.read()
                        && other.access != token.access
                        && now < other.expires_at
                    {
                        return Ok(other.access);
                    }
                    Some(error)
                }
                Err(error) => Some(error),
            },
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
        self.memory.lock().refused = Some(token.clone());
    }

    /// A token was accepted.
    pub(super) fn healed(&self, session: &SsoSession) {
        if std::mem::take(&mut self.memory.lock().warned) {
            tracing::info!(sign_in = session.label(), "signed in again");
        }
    }

    /// Says in the log that somebody has to sign in, once until somebody has.
    pub(super) fn warn_once(&self, error: &SessionError) {
        if !std::mem::replace(&mut self.memory.lock().warned, true) {
            tracing::warn!(%error, "a login is needed");
        }
    }

    /// Whether the file is in another state than when it was read last.
    pub(super) fn has_changed(&self) -> bool {
        if self.check().is_err() {
            return false;
        }
        let seen = self.memory.lock().seen;
        seen != Some(mark(&self.file))
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
