//! The logins of a process: who is logged in, who is about to be, and the tokens that this gives.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::entry::{Entry, Held, is_over};
use super::ssh_keys::SshKeys;
use super::{
    DeviceGrant, IdToken, Issuer, IssuerError, KeepLogins, LoginEnd, LoginPrompt, Next, NotKept,
    Polling,
};
use crate::broker::{ObserveCalls, Observers};
use crate::clock::Clock;
use crate::model::{OidcIdentity, Secret};

/// Why there is no token for AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// Somebody has to log in.
    LoginNeeded(String),
    /// The issuer gave none; it may the next time.
    Failed(String),
    /// The same, and it says for how long not to ask again.
    Later(String, Duration),
}

impl TokenError {
    /// That the issuer of `identity` gave none, which the next time it may.
    pub(super) fn of(identity: &OidcIdentity, error: &IssuerError) -> Self {
        match error {
            IssuerError::Later(_, wait) => {
                Self::Later(format!("identity {}: {error}", identity.name), *wait)
            }
            error => useless(identity, &error.to_string()),
        }
    }
}

/// How far a login is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody has begun one.
    None,
    /// A person has to agree.
    Waiting(LoginPrompt),
    /// There are tokens.
    Done,
    /// There will be none.
    Over(LoginEnd),
}

/// All logins, by identity.
pub struct Logins {
    issuer: Arc<dyn Issuer>,
    clock: Arc<dyn Clock>,
    keep: Arc<dyn KeepLogins>,
    observer: Arc<dyn ObserveCalls>,
    entries: Mutex<HashMap<Arc<OidcIdentity>, Arc<Entry>>>,
    ssh_keys: SshKeys,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").finish_non_exhaustive()
    }
}

impl Logins {
    /// No logins yet, at `issuer`, in memory only.
    pub fn new(issuer: Arc<dyn Issuer>, clock: Arc<dyn Clock>) -> Self {
        let (entries, ssh_keys) = (Mutex::default(), SshKeys::default());
        let (keep, observer) = (Arc::new(NotKept), Arc::new(Observers::default()));
        Self { issuer, clock, keep, observer, entries, ssh_keys }
    }

    /// The same with those that `keep` has, which keeps them from now on.
    #[must_use]
    pub fn keeping(self, keep: Arc<dyn KeepLogins>) -> Self {
        Self { keep, ..self }
    }

    /// Keeps what is held, as where nothing was kept meanwhile.
    pub fn keep_all(&self) {
        for entry in self.entries.lock().values() {
            entry.keep_held();
        }
    }

    /// The same, and `observer` is told of each token of another service that was asked for.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn ObserveCalls>) -> Self {
        Self { observer, ..self }
    }

    /// Begins a login, or joins the one under way; returns what the person needs to know.
    ///
    /// # Errors
    /// Why the issuer lets nobody log in.
    pub async fn begin(&self, identity: &Arc<OidcIdentity>) -> Result<LoginPrompt, IssuerError> {
        let entry = self.entry(identity);
        let _asking = entry.asking.lock().await;
        if let Login::Waiting(prompt) = &*entry.login.borrow() {
            return Ok(prompt.clone());
        }
        let grant = self.issuer.begin(identity).await?;
        let prompt = grant.prompt.clone();
        tracing::info!(identity = %identity.name, "a login has begun");
        entry.login.send_replace(Login::Waiting(prompt.clone()));
        tokio::spawn(follow(self.issuer.clone(), self.clock.clone(), entry.clone(), grant));
        Ok(prompt)
    }

    /// How far the login is.
    pub fn state(&self, identity: &Arc<OidcIdentity>) -> Login {
        self.entry(identity).login.borrow().clone()
    }

    /// Waits until no login is under way, and returns how the last one ended.
    pub async fn ended(&self, identity: &Arc<OidcIdentity>) -> Login {
        let mut login = self.entry(identity).login.subscribe();
        let ended = login.wait_for(|login| !matches!(login, Login::Waiting(_))).await;
        ended.map_or(Login::None, |login| login.clone())
    }

    /// Waits until somebody is logged in.
    pub async fn logged_in(&self, identity: &Arc<OidcIdentity>) {
        let mut login = self.entry(identity).login.subscribe();
        if login.wait_for(|login| *login == Login::Done).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Forgets the logins of all identities but those that `is_used`.
    pub fn retain(&self, is_used: impl Fn(&Arc<OidcIdentity>) -> bool) {
        self.entries.lock().retain(|identity, entry| {
            let stays = is_used(identity);
            if !stays {
                entry.retire();
            }
            stays
        });
    }

    /// Waits until no login is being renewed. As long as what is returned is held, none is from now on.
    pub async fn at_rest(&self) -> impl Sized + use<> {
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        let mut held = Vec::new();
        for entry in entries {
            held.push(entry.asking.clone().lock_owned().await);
        }
        held
    }

    /// Whether there are tokens, of whatever use.
    pub(super) fn holds(&self, identity: &Arc<OidcIdentity>) -> bool {
        self.entry(identity).held().is_ok()
    }

    /// The token that AWS takes, new for each call.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn token_for_aws(&self, identity: &Arc<OidcIdentity>) -> Result<Secret, TokenError> {
        self.id_token_for_aws(identity).await.map(|it| it.token)
    }

    /// The same with its end.
    pub(super) async fn id_token_for_aws(
        &self,
        identity: &Arc<OidcIdentity>,
    ) -> Result<IdToken, TokenError> {
        let Some(url) = &identity.token_url else {
            let entry = self.entry(identity);
            let held = self.fresh(&entry, None).await?;
            return self.id_token(&entry, held).await;
        };
        let call = |access| async move { self.issuer.token_for_aws(url, &access).await };
        let token = self.with_access(identity, call).await?;
        token.map_err(|error| TokenError::of(identity, &error))
    }

    /// Makes `call` with an access token; once more, with a renewed one, if the first is refused.
    /// What else the issuer says to it is returned.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(super) async fn with_access<T, F>(
        &self,
        identity: &Arc<OidcIdentity>,
        call: impl Fn(Secret) -> F,
    ) -> Result<Result<T, IssuerError>, TokenError>
    where
        F: Future<Output = Result<T, IssuerError>>,
    {
        let entry = self.entry(identity);
        let mut held = self.fresh(&entry, None).await?;
        let mut answer = call(held.access.clone()).await;
        if let Err(IssuerError::TokenRefused(_)) = answer {
            held = self.fresh(&entry, Some(&held.access)).await?;
            answer = call(held.access.clone()).await;
        }
        match answer {
            Err(IssuerError::TokenRefused(why)) => Err(entry.forget(&held, &why)),
            answer => Ok(answer),
        }
    }

    /// Who gives tokens, what the time is, and who is told.
    pub(super) fn parts(&self) -> (&dyn Issuer, &dyn Clock, &dyn ObserveCalls) {
        (&*self.issuer, &*self.clock, &*self.observer)
    }

    /// The key pairs of ssh certificates.
    pub(super) fn ssh_keys(&self) -> &SshKeys {
        &self.ssh_keys
    }

    /// The ID token of the login, renewed if it is about to end.
    async fn id_token(&self, entry: &Arc<Entry>, mut held: Held) -> Result<IdToken, TokenError> {
        for is_last in [false, true] {
            let Some(id_token) = &held.id_token else {
                let why = "the issuer gave no ID token; scope needs openid";
                return Err(useless(&entry.identity, why));
            };
            if !is_over(id_token.expiration, &*self.clock) {
                return Ok(id_token.clone());
            }
            if !is_last {
                held = self.fresh(entry, Some(&held.access)).await?;
            }
        }
        Err(useless(&entry.identity, "the issuer gave an ID token that is expired"))
    }

    /// Tokens that are good, and others than `refused`.
    async fn fresh(
        &self,
        entry: &Arc<Entry>,
        refused: Option<&Secret>,
    ) -> Result<Held, TokenError> {
        entry.fresh(&self.issuer, &self.clock, refused).await
    }

    fn entry(&self, identity: &Arc<OidcIdentity>) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        let fresh = || Arc::new(Entry::new(identity, &self.keep));
        entries.entry(identity.clone()).or_insert_with(fresh).clone()
    }
}

/// Asks for the tokens of a login until it is over.
async fn follow(
    issuer: Arc<dyn Issuer>,
    clock: Arc<dyn Clock>,
    entry: Arc<Entry>,
    grant: DeviceGrant,
) {
    let name = &entry.identity.name;
    let mut polling = Polling::new(&grant, Instant::now());
    let end = loop {
        sleep(polling.pause()).await;
        if entry.is_retired() {
            return;
        }
        let answer = issuer.poll(&entry.identity, &grant).await;
        if let Err(error) = &answer {
            tracing::debug!(identity = %name, %error, "no answer about the login");
        }
        match polling.after(answer, Instant::now()) {
            Next::Wait(_) => {}
            Next::Granted(tokens) => {
                if !entry.hold(Held::new(tokens, None, clock.now())) {
                    return;
                }
                tracing::info!(identity = %name, "logged in");
                break Login::Done;
            }
            Next::Over(end) => {
                tracing::warn!(identity = %name, "no login: {end}");
                break Login::Over(end);
            }
        }
    };
    entry.login.send_replace(end);
}

fn useless(identity: &OidcIdentity, why: &str) -> TokenError {
    TokenError::Failed(format!("identity {}: {why}", identity.name))
}
