//! Keeps what the tree serves equal to what the broker holds: renders at renewal, so that an open
//! only has to pin what is there.

mod files;
mod fit;
mod hurry;
mod listeners;
mod requests;
mod served;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::broker::{Broker, CLOCK_CHECK, Cause, Serving, SessionError, Sought};
use crate::clock::Clock;
use crate::model::{Perishable as _, RoleChain, TokenGrant};
use crate::render::{self, Padding, Profile, ProfileState, ReaderPath, Text};
use crate::tree::{FileId, Ino, Snapshot, Tree, View};

use fit::Content;
use hurry::Hurried;
use listeners::Listeners;
pub use listeners::{Invalidate, Remember};
pub use requests::key_of;
pub use served::Served;
use served::{Section, Shown};
use tokens::Tokens;

/// Why a mount serves no role, whatever the broker holds; `None` while it serves. All publishers that
/// a mount has had share one, so that an open which still waits in an earlier one is told too.
#[derive(Debug, Default)]
pub struct Closed(Mutex<Option<Cause>>);

/// The states that the files were rendered from.
#[derive(Debug, Default)]
struct Rendered {
    /// By role; for the files of its own.
    roles: Vec<Option<ProfileState>>,
    /// By view and there by section; for `credentials`. Empty before the first rendering.
    credentials: Vec<Vec<ProfileState>>,
}

/// Renders the files of one mount.
#[derive(Debug)]
pub struct Publisher {
    served: Served,
    sections: Vec<Section>,
    /// By view: which sections it has.
    views: Vec<Shown>,
    broker: Arc<Broker>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    tree: Arc<Tree>,
    listeners: Arc<Listeners>,
    closed: Arc<Closed>,
    /// Held while a file grows, so that no content is larger than what the kernel knows.
    growing: tokio::sync::Mutex<()>,
    /// What was rendered last. Held while publishing, so that two never interleave.
    last: tokio::sync::Mutex<Rendered>,
    configs: Mutex<HashMap<(View, ReaderPath), Arc<Snapshot>>>,
    hurried: Mutex<Hurried>,
}

impl Publisher {
    /// A publisher for `tree`, which must have been made for the same profiles.
    pub fn new(
        served: Served,
        broker: Arc<Broker>,
        tokens: Arc<Broker<TokenGrant>>,
        clock: Arc<dyn Clock>,
        tree: Arc<Tree>,
        closed: Arc<Closed>,
    ) -> Arc<Self> {
        let sections = served.sections();
        let views = served.views(&sections);
        let roles = vec![None; served.roles.len()];
        let credentials = vec![Vec::new(); views.len()];
        let last = tokio::sync::Mutex::new(Rendered { roles, credentials });
        let tokens = Tokens::new(tokens, served.tokens.len());
        Arc::new(Self {
            served,
            sections,
            views,
            broker,
            tokens,
            clock,
            listeners: Listeners::new(tree.clone()),
            tree,
            closed,
            growing: tokio::sync::Mutex::default(),
            last,
            configs: Mutex::default(),
            hurried: Mutex::default(),
        })
    }

    /// From now on changes are told to the kernel.
    pub fn attach(&self, kernel: Arc<dyn Invalidate>) {
        self.listeners.attach(kernel);
    }

    /// From now on every role is rendered as failing for this reason, whatever the broker holds;
    /// with `None` as the broker has it. Returns when this is what new opens get.
    pub async fn close(&self, cause: Option<Cause>) {
        *self.closed.0.lock() = cause;
        self.hurried.lock().clear();
        if cause.is_none() {
            // What was said while closed holds no longer, also of roles that are being fetched.
            self.tree.expire(self.clock.now());
        }
        self.publish(&[]).await;
    }

    /// Why no role is served at all, if so.
    pub fn closed(&self) -> Option<Cause> {
        *self.closed.0.lock()
    }

    /// What every role is rendered as, whatever the broker holds, if so.
    fn refusal(&self) -> Option<SessionError> {
        let closed = self.closed().map(|cause| SessionError::new("", cause, ""));
        closed.or_else(|| self.served.failing.clone())
    }

    /// Publishes each change until cancelled, also when nobody opens a file.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.broker.changes();
        let mut token_changes = self.tokens.broker.changes();
        loop {
            changes.borrow_and_update();
            token_changes.borrow_and_update();
            let fresh_until = self.publish(&[]).await;
            let pause = fresh_until.duration_since(self.clock.now()).unwrap_or(CLOCK_CHECK);
            tokio::select! {
                ended = changes.changed() => if ended.is_err() { return },
                ended = token_changes.changed() => if ended.is_err() { return },
                () = sleep(pause.clamp(SHORTEST_PAUSE, CLOCK_CHECK)) => {}
            }
        }
    }

    /// Brings every file that depends on sessions up to date and returns when this has to be done
    /// again. Files of roles of which nothing can be said yet stay as they are, so that opens of
    /// them wait. Such a role among `decided` is served what it has, or as failing.
    pub async fn publish(&self, decided: &[Arc<RoleChain>]) -> SystemTime {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        let states: Vec<Option<(ProfileState, SystemTime)>> = self
            .served
            .roles
            .iter()
            .map(|role| {
                let decided = decided.contains(&role.chain);
                self.role_state(&role.chain, decided.then_some(Cause::TimedOut), now)
            })
            .collect();
        // Who waits for this may give up on the way. What is rendered only in part until then counts
        // as not rendered, or else it might be taken for what it was before.
        for (last, state) in last.roles.iter_mut().zip(&states) {
            last.take_if(|last| state.as_ref().is_some_and(|(state, _)| !last.same_as(state)));
        }
        let mut touched = self.publish_own_files(&last.roles, &states).await;
        for (last, state) in last.roles.iter_mut().zip(&states) {
            if let Some((state, _)) = state {
                *last = Some(state.clone());
            }
        }
        // Without an answer a flight is under way; its end is a change.
        let fresh_until = |state: &Option<(ProfileState, SystemTime)>| match state {
            Some((_, until)) => *until,
            None => now + CLOCK_CHECK,
        };
        let fresh_until = states.iter().map(fresh_until).min().unwrap_or(now + CLOCK_CHECK);
        for (index, shown) in self.views.iter().enumerate() {
            let of_section = |section: &usize| states[self.sections[*section].role].clone();
            let known = shown.sections.iter().map(of_section);
            let Some(known) = known.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let last = &mut last.credentials[index];
            touched.extend(self.publish_credentials(View(index), last, known, now).await);
        }
        drop(last);
        self.moved(touched);
        fresh_until.min(self.publish_tokens(None).await)
    }

    /// As [`Publisher::publish`], for an open of `file` that has waited long enough: whatever it is
    /// about is served what it has, or as failing.
    pub async fn publish_decided(&self, file: FileId, view: View) {
        match file {
            FileId::Token(index, _) => drop(self.publish_tokens(Some(index)).await),
            _ => drop(self.publish(&self.chains(file, view)).await),
        }
    }

    /// The files of one profile each. `last` has the roles that are rendered as they are now.
    async fn publish_own_files(
        &self,
        last: &[Option<ProfileState>],
        states: &[Option<(ProfileState, SystemTime)>],
    ) -> Vec<Ino> {
        let mut touched = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let Some((state, until)) = &states[section.role] else { continue };
            let (process, error) = (FileId::Process(index), FileId::Error(index));
            if last[section.role].is_some() {
                self.tree.extend(process, View::ALL, *until);
                self.tree.extend(error, View::ALL, *until);
                continue;
            }
            let states = std::slice::from_ref(state);
            let json = self.content(process, View::ALL, states);
            let reason = self.content(error, View::ALL, states);
            touched.push(self.commit(process, View::ALL, json, *until).await);
            touched.push(self.commit(error, View::ALL, reason, *until).await);
        }
        touched
    }

    /// The file that all profiles of a view share.
    async fn publish_credentials(
        &self,
        view: View,
        last: &mut Vec<ProfileState>,
        states: Vec<(ProfileState, SystemTime)>,
        now: SystemTime,
    ) -> Option<Ino> {
        let until = states.iter().map(|(_, until)| *until).min().unwrap_or(now + FAILURE_SHOWN);
        let states: Vec<ProfileState> = states.into_iter().map(|(state, _)| state).collect();
        let same = last.len() == states.len()
            && !last.is_empty()
            && last.iter().zip(&states).all(|(last, state)| last.same_as(state));
        if same {
            self.tree.extend(FileId::Credentials, view, until);
            return None;
        }
        let content = self.content(FileId::Credentials, view, &states);
        last.clear();
        let touched = self.commit(FileId::Credentials, view, content, until).await;
        *last = states;
        Some(touched)
    }

    /// What a file with keys, or with the reason why there are none, says of its profiles in these
    /// states: all those of the view, or the one that the file is named after.
    fn content(&self, file: FileId, view: View, states: &[ProfileState]) -> Content {
        match (file, states) {
            (FileId::Process(index), [state]) => {
                let name = &self.sections[index].name;
                let keys = key_of(name, state).into_iter().collect();
                (render::process_json(name, state), keys, Padding::Spaces)
            }
            (FileId::Error(index), [ProfileState::Failing(error)]) => {
                let line = render::failure_line(&self.sections[index].name, error);
                (Text::new(line + "\n"), Vec::new(), Padding::Newlines)
            }
            (FileId::Error(_), _) => (Text::default(), Vec::new(), Padding::Newlines),
            _ => self.shared_content(view, states),
        }
    }

    /// What `credentials` says.
    fn shared_content(&self, view: View, states: &[ProfileState]) -> Content {
        let sections = self.views[view.0].sections.iter().map(|index| &self.sections[*index]);
        let profiles: Vec<_> =
            sections.map(|section| self.profile(section)).zip(states.iter().cloned()).collect();
        let text = render::credentials(&profiles, self.served.live_only);
        let keys = || profiles.iter().filter_map(|(it, state)| key_of(it.name, state)).collect();
        let keys = if self.served.live_only { Vec::new() } else { keys() };
        (text, keys, Padding::IniComment)
    }

    /// The `config` file for a reader of `view` that sees the mount at `path`.
    pub async fn config(&self, view: View, path: ReaderPath) -> Arc<Snapshot> {
        let wanted = (view, path);
        if let Some(snapshot) = self.configs.lock().get(&wanted) {
            return snapshot.clone();
        }
        let sections = self.views[view.0].sections.iter().map(|index| &self.sections[*index]);
        let profiles: Vec<_> = sections.map(|section| self.profile(section)).collect();
        let served = &self.served;
        let text = render::config(&profiles, &wanted.1, served.live_only, &served.include);
        let snapshot = self.fit(FileId::Config, (text, Vec::new(), Padding::IniComment)).await;
        let mut configs = self.configs.lock();
        // Every container may bring a path of its own; their number is theirs to choose.
        if configs.len() >= MOST_CONFIGS {
            configs.clear();
        }
        configs.insert(wanted, snapshot.clone());
        snapshot
    }

    /// A text of this moment, such as `credmount/status.json`, padded to the size of its file.
    pub async fn momentary(&self, file: FileId, text: String, padding: Padding) -> Arc<Snapshot> {
        self.fit(file, (Text::new(text), Vec::new(), padding)).await
    }

    /// What this mount serves.
    pub fn served(&self) -> &Served {
        &self.served
    }

    fn profile<'a>(&'a self, section: &'a Section) -> Profile<'a> {
        let role = &self.served.roles[section.role];
        Profile { name: &section.name, region: role.region.as_ref(), settings: &role.settings }
    }

    /// What is rendered of a role, and until when. While nothing can be said yet: `None`, or where
    /// it is `decided`, what is held, or a failure of this cause.
    fn state<K: Sought>(
        &self,
        broker: &Broker<K>,
        sought: &Arc<K>,
        decided: Option<Cause>,
        now: SystemTime,
    ) -> Option<(ProfileState<K::Grant>, SystemTime)> {
        if let Some(error) = self.refusal() {
            return Some((ProfileState::Failing(error), now + FAILURE_SHOWN));
        }
        match broker.serving(sought, now) {
            Serving::Live(session, until) => Some((ProfileState::Live(session), until)),
            Serving::Failing(error) => Some((ProfileState::Failing(error), now + FAILURE_SHOWN)),
            Serving::Pending => {
                let cause = decided?;
                let held = broker.status(sought).session;
                // Long enough for the opens that have waited, and no longer.
                let until = now + DECISION_SHOWN;
                Some(match held.filter(|session| session.is_valid(now)) {
                    Some(session) => {
                        let until = until.min(session.expiration());
                        (ProfileState::Live(session), until)
                    }
                    None => (ProfileState::Failing(SessionError::new("", cause, "")), until),
                })
            }
        }
    }

    async fn commit(&self, file: FileId, view: View, content: Content, until: SystemTime) -> Ino {
        let snapshot = self.fit(file, content).await;
        self.tree.publish(file, view, snapshot, until, self.clock.now());
        self.tree.ino(file)
    }
}

/// A failure is shown until a flight ends, which publishes anew; this only bounds it.
const FAILURE_SHOWN: Duration = Duration::from_hours(1);

/// How long what was decided without an answer is shown.
const DECISION_SHOWN: Duration = Duration::from_secs(1);

/// No busy loop, however short the sessions.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Renderings of `config` kept.
const MOST_CONFIGS: usize = 64;
