//! One login: the tokens that are held of it, how they are renewed, and when it is over. Must not know
//! what they are for, nor of other logins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::{IdToken, Issuer, IssuerError, KeepLogins, KeptLogin, Login, TokenError, Tokens};
use crate::broker::schedule::LONGEST_RETRY_AFTER;
use crate::clock::Clock;
use crate::model::{OidcIdentity, Secret};

/// From so long before its end on a token is renewed, or taken for expired.
const MARGIN: Duration = Duration::from_secs(30);

/// One identity.
pub(super) struct Entry {
    pub(super) identity: Arc<OidcIdentity>,
    keep: Arc<dyn KeepLogins>,
    holding: Mutex<Holding>,
    pub(super) login: watch::Sender<Login>,
    /// Held while a login begins or tokens are renewed: the second finds what the first got, or why it
    /// got nothing.
    pub(super) asking: Arc<tokio::sync::Mutex<Option<Failed>>>,
    /// Renewals that have ended.
    renewals: AtomicU64,
}

/// What there is of a login now.
#[derive(Default)]
struct Holding {
    held: Option<Held>,
    /// The identity is configured no more: whatever is still under way for it is not held.
    is_retired: bool,
}

/// What a login gave.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) access: Secret,
    expiration: Option<SystemTime>,
    refresh: Option<Secret>,
    pub(super) id_token: Option<IdToken>,
}

/// A renewal that gave nothing.
pub(super) struct Failed {
    error: TokenError,
    /// Its number.
    renewal: u64,
    /// How long the issuer does not want to be asked.
    until: Option<Instant>,
}

impl Failed {
    /// The failure, for those who have waited since only `seen` renewals had ended, or who come before
    /// the issuer wants to be asked.
    fn shared(&self, seen: u64, now: Instant) -> Option<TokenError> {
        let left = self.until.map(|until| until.saturating_duration_since(now));
        let left = left.filter(|left| !left.is_zero());
        match (&self.error, left) {
            (TokenError::Later(why, _), Some(left)) => Some(TokenError::Later(why.clone(), left)),
            (error, None) if seen < self.renewal => Some(error.clone()),
            _ => None,
        }
    }
}

impl Entry {
    /// One with the login that `keep` has, if there is any.
    pub(super) fn new(identity: &Arc<OidcIdentity>, keep: &Arc<dyn KeepLogins>) -> Self {
        let held = keep.kept(identity).map(|kept| Held::resumed(kept, identity));
        let login = if held.is_some() { Login::Done } else { Login::None };
        if held.is_some() {
            tracing::info!(identity = %identity.name, "logged in already, before this start");
        }
        Self {
            identity: identity.clone(),
            keep: keep.clone(),
            holding: Mutex::new(Holding { held, is_retired: false }),
            login: watch::Sender::new(login),
            asking: Arc::default(),
            renewals: AtomicU64::new(0),
        }
    }

    /// What is held.
    ///
    /// # Errors
    /// `LoginNeeded` if nothing is.
    pub(super) fn held(&self) -> Result<Held, TokenError> {
        let held = self.holding.lock().held.clone();
        let name = &self.identity.name;
        held.ok_or_else(|| TokenError::LoginNeeded(format!("run credmount login {name}")))
    }

    /// From now on these are the tokens of the login. False if nobody needs them any more.
    pub(super) fn hold(&self, held: Held) -> bool {
        let mut holding = self.holding.lock();
        if holding.is_retired {
            return false;
        }
        self.keep_beyond(&held);
        holding.held = Some(held);
        true
    }

    /// Keeps for a later process what is held.
    pub(super) fn keep_held(&self) {
        if let Some(held) = &self.holding.lock().held {
            self.keep_beyond(held);
        }
    }

    /// Keeps the login for a later process, to which it must be good for something.
    fn keep_beyond(&self, held: &Held) {
        if held.refresh.is_none() && self.identity.token_url.is_none() {
            // All that this login can give is an ID token, which is not kept. What was is over.
            self.keep.forget(&self.identity);
            return;
        }
        let Held { access, expiration, refresh, .. } = held.clone();
        self.keep.keep(&self.identity, &KeptLogin { access, expiration, refresh });
    }

    /// Forgets the login for good, with one that is under way.
    pub(super) fn retire(&self) {
        let mut holding = self.holding.lock();
        *holding = Holding { held: None, is_retired: true };
        self.keep.forget(&self.identity);
        self.login.send_replace(Login::None);
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_retired(&self) -> bool {
        self.holding.lock().is_retired
    }

    /// Notes that the login behind `held` is over.
    pub(super) fn forget(&self, held: &Held, why: &str) -> TokenError {
        let name = &self.identity.name;
        let mut holding = self.holding.lock();
        // A login that has come meanwhile stays.
        if holding.held.as_ref().is_some_and(|now| now.access == held.access) {
            holding.held = None;
            self.keep.forget(&self.identity);
            self.login.send_if_modified(|login| {
                let was_done = *login == Login::Done;
                if was_done {
                    *login = Login::None;
                }
                was_done
            });
            tracing::warn!(identity = %name, why, "the login is over; run credmount login {name}");
        }
        TokenError::LoginNeeded(format!("the login is over ({why}); run credmount login {name}"))
    }

    /// Tokens that are good, and others than `refused`.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(super) async fn fresh(
        self: &Arc<Self>,
        issuer: &Arc<dyn Issuer>,
        clock: &Arc<dyn Clock>,
        refused: Option<&Secret>,
    ) -> Result<Held, TokenError> {
        let is_good =
            |held: &Held| refused != Some(&held.access) && !is_over(held.expiration, &**clock);
        let held = self.held()?;
        if is_good(&held) {
            return Ok(held);
        }
        let seen = self.renewals.load(Ordering::Relaxed);
        let asking = self.asking.clone().lock_owned().await;
        // Another may have renewed them meanwhile, or may have tried to.
        let held = self.held()?;
        if is_good(&held) {
            return Ok(held);
        }
        if let Some(error) = asking.as_ref().and_then(|it| it.shared(seen, Instant::now())) {
            return Err(error);
        }
        let Some(refresh) = held.refresh.clone() else {
            return Err(self.forget(&held, "the issuer gave no refresh token"));
        };
        // A task of its own: whoever asks may give up at any time, and a refresh token may be good only
        // once, so that with the answer the login would be lost.
        let (issuer, clock) = (issuer.clone(), clock.clone());
        let renewal = tokio::spawn(self.clone().renew(issuer, clock, held, refresh, asking));
        let broken = |_| TokenError::Failed(format!("identity {}: broken off", self.identity.name));
        renewal.await.map_err(broken)?
    }

    /// Exchanges the refresh token of `held`, and says to those who wait what came of it.
    async fn renew(
        self: Arc<Self>,
        issuer: Arc<dyn Issuer>,
        clock: Arc<dyn Clock>,
        held: Held,
        refresh: Secret,
        mut asking: OwnedMutexGuard<Option<Failed>>,
    ) -> Result<Held, TokenError> {
        let outcome = match issuer.refresh(&self.identity, &refresh).await {
            Ok(tokens) => self.renewed(held, tokens, clock.now()),
            Err(IssuerError::TokenRefused(why)) => {
                let access = held.access.clone();
                let over = self.forget(&held, &why);
                self.held().ok().filter(|now| now.access != access).ok_or(over)
            }
            Err(error) => Err(TokenError::of(&self.identity, &error)),
        };
        let renewal = self.renewals.fetch_add(1, Ordering::Relaxed) + 1;
        *asking = outcome.as_ref().err().map(|error| {
            let until = match error {
                TokenError::Later(_, wait) => {
                    Some(Instant::now() + (*wait).min(LONGEST_RETRY_AFTER))
                }
                _ => None,
            };
            Failed { error: error.clone(), renewal, until }
        });
        outcome
    }

    /// Holds what the renewal of `before` gave. A login that has come meanwhile stays: it may be of
    /// somebody else, or may do more.
    fn renewed(&self, before: Held, tokens: Tokens, now: SystemTime) -> Result<Held, TokenError> {
        let mut holding = self.holding.lock();
        if !holding.held.as_ref().is_some_and(|now| now.access == before.access) {
            drop(holding);
            return self.held();
        }
        let next = Held::new(tokens, Some(before), now);
        self.keep_beyond(&next);
        holding.held = Some(next.clone());
        Ok(next)
    }
}

impl Held {
    /// What `tokens`, received at `now`, give; what they do not renew stays as it was.
    pub(super) fn new(tokens: Tokens, before: Option<Self>, now: SystemTime) -> Self {
        let (refresh, id_token) = before.map(|it| (it.refresh, it.id_token)).unwrap_or_default();
        Self {
            access: tokens.access,
            expiration: tokens.lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            refresh: tokens.refresh.or(refresh),
            id_token: tokens.id_token.or(id_token),
        }
    }

    /// The login of an earlier process.
    fn resumed(kept: KeptLogin, identity: &OidcIdentity) -> Self {
        let KeptLogin { access, expiration, refresh } = kept;
        // The ID token comes with a renewal, so that is due where it is what is asked for.
        let is_due = identity.token_url.is_none();
        let expiration = if is_due { Some(SystemTime::UNIX_EPOCH) } else { expiration };
        Self { access, expiration, refresh, id_token: None }
    }
}

/// Whether a token with this end is to be used no more.
pub(super) fn is_over(expiration: Option<SystemTime>, clock: &dyn Clock) -> bool {
    expiration.is_some_and(|at| at <= clock.now() + MARGIN)
}
