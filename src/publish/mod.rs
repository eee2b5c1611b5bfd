//! Keeps what the tree serves equal to what the broker holds: renders at renewal, so that an open
//! only has to pin what is there.

mod files;
mod served;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, CLOCK_CHECK, Cause, Serving, SessionError};
use crate::clock::Clock;
use crate::model::{ProfileName, RoleChain, ServedKey};
use crate::render::{self, Padding, Profile, ProfileState, ReaderPath, Text};
use crate::tree::{FileId, Ino, Snapshot, Tree, View};

use served::Section;
pub use served::Served;

/// Makes the kernel forget what it knows of an inode. Implemented by `fuse/`.
pub trait Invalidate: Debug + Send + Sync + 'static {
    /// Returns when the kernel has forgotten size, times and pages. May block; must not be called
    /// while holding a lock that an operation of the tree needs.
    fn invalidate(&self, ino: Ino);

    /// Makes the kernel forget a name in a directory. As [`Invalidate::invalidate`].
    fn forget(&self, parent: Ino, name: &str);
}

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
    views: Vec<Vec<usize>>,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    tree: Arc<Tree>,
    kernel: Mutex<Option<Arc<dyn Invalidate>>>,
    closed: Arc<Closed>,
    /// What was rendered last. Held while publishing, so that two never interleave.
    last: tokio::sync::Mutex<Rendered>,
    configs: Mutex<HashMap<(View, ReaderPath), Arc<Snapshot>>>,
}

impl Publisher {
    /// A publisher for `tree`, which must have been made for the same profiles.
    pub fn new(
        served: Served,
        broker: Arc<Broker>,
        clock: Arc<dyn Clock>,
        tree: Arc<Tree>,
        closed: Arc<Closed>,
    ) -> Arc<Self> {
        let sections = served.sections();
        let views = served.views(&sections);
        let roles = vec![None; served.roles.len()];
        let credentials = vec![Vec::new(); views.len()];
        let last = tokio::sync::Mutex::new(Rendered { roles, credentials });
        Arc::new(Self {
            served,
            sections,
            views,
            broker,
            clock,
            tree,
            kernel: Mutex::new(None),
            closed,
            last,
            configs: Mutex::default(),
        })
    }

    /// From now on changes are told to the kernel.
    pub fn attach(&self, kernel: Arc<dyn Invalidate>) {
        *self.kernel.lock() = Some(kernel);
    }

    /// From now on every role is rendered as failing for this reason, whatever the broker holds;
    /// with `None` as the broker has it. Returns when this is what new opens get.
    pub async fn close(&self, cause: Option<Cause>) {
        *self.closed.0.lock() = cause;
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

    /// Publishes each change until cancelled, also when nobody opens a file.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.broker.changes();
        loop {
            changes.borrow_and_update();
            let fresh_until = self.publish(&[]).await;
            let pause = fresh_until.duration_since(self.clock.now()).unwrap_or(CLOCK_CHECK);
            tokio::select! {
                ended = changes.changed() => if ended.is_err() { return },
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
            .map(|role| self.state(&role.chain, decided.contains(&role.chain), now))
            .collect();
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
        for (index, sections) in self.views.iter().enumerate() {
            let of_section = |section: &usize| states[self.sections[*section].role].clone();
            let Some(known) = sections.iter().map(of_section).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let last = &mut last.credentials[index];
            touched.extend(self.publish_credentials(View(index), last, known, now).await);
        }
        drop(last);
        self.tell_kernel(touched);
        fresh_until
    }

    /// The files of one profile each.
    async fn publish_own_files(
        &self,
        last: &[Option<ProfileState>],
        states: &[Option<(ProfileState, SystemTime)>],
    ) -> Vec<Ino> {
        let mut touched = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let Some((state, until)) = &states[section.role] else { continue };
            let (process, error) = (FileId::Process(index), FileId::Error(index));
            if last[section.role].as_ref().is_some_and(|last| last.same_as(state)) {
                self.tree.extend(process, View::ALL, *until);
                self.tree.extend(error, View::ALL, *until);
                continue;
            }
            let json = render::process_json(&section.name, state);
            let reason = match state {
                ProfileState::Live(_) => Text::default(),
                ProfileState::Failing(error) => {
                    Text::new(render::failure_line(&section.name, error) + "\n")
                }
            };
            let keys = key_of(&section.name, state).into_iter().collect();
            let json = (json, keys, Padding::Spaces);
            let reason = (reason, Vec::new(), Padding::Newlines);
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
        let sections = || self.views[view.0].iter().map(|index| &self.sections[*index]);
        let profiles: Vec<_> =
            sections().map(|section| self.profile(section)).zip(states.iter().cloned()).collect();
        let text = render::credentials(&profiles, self.served.live_only);
        let keys = || profiles.iter().filter_map(|(it, state)| key_of(it.name, state)).collect();
        let keys = if self.served.live_only { Vec::new() } else { keys() };
        *last = states;
        let content = (text, keys, Padding::IniComment);
        Some(self.commit(FileId::Credentials, view, content, until).await)
    }

    /// The `config` file for a reader of `view` that sees the mount at `path`.
    pub async fn config(&self, view: View, path: ReaderPath) -> Arc<Snapshot> {
        let wanted = (view, path);
        if let Some(snapshot) = self.configs.lock().get(&wanted) {
            return snapshot.clone();
        }
        let sections = self.views[view.0].iter().map(|index| &self.sections[*index]);
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

    /// What is rendered of a role, and until when; `None` if nothing can be said yet.
    fn state(
        &self,
        chain: &Arc<RoleChain>,
        decided: bool,
        now: SystemTime,
    ) -> Option<(ProfileState, SystemTime)> {
        if let Some(cause) = self.closed() {
            let error = SessionError::new("", cause, "");
            return Some((ProfileState::Failing(error), now + FAILURE_SHOWN));
        }
        match self.broker.serving(chain, now) {
            Serving::Live(session, until) => Some((ProfileState::Live(session), until)),
            Serving::Failing(error) => Some((ProfileState::Failing(error), now + FAILURE_SHOWN)),
            Serving::Pending if decided => {
                let held = self.broker.status(chain).session;
                let state = match held.filter(|session| session.is_valid(now)) {
                    Some(session) => ProfileState::Live(session),
                    None => ProfileState::Failing(SessionError::new("", Cause::TimedOut, "")),
                };
                // Long enough for the opens that have waited, and no longer.
                Some((state, now + DECISION_SHOWN))
            }
            Serving::Pending => None,
        }
    }

    async fn commit(&self, file: FileId, view: View, content: Content, until: SystemTime) -> Ino {
        let snapshot = self.fit(file, content).await;
        self.tree.publish(file, view, snapshot, until, self.clock.now());
        self.tree.ino(file)
    }

    /// Pads to the file's size. A text that has outgrown it makes the file grow first: the larger
    /// size is told, the kernel forgets the old one, and only then is there content of that size.
    async fn fit(&self, file: FileId, content: Content) -> Arc<Snapshot> {
        let (mut text, keys, padding) = content;
        loop {
            let size = self.tree.size(file);
            match render::pad(text, size, padding) {
                Ok(padded) if size > 0 => return Arc::new(Snapshot::new(padded, keys)),
                Ok(unfit) | Err(unfit) => text = unfit,
            }
            let sections = match file {
                FileId::Credentials => self.sections.len(),
                _ => 1,
            };
            self.tree.grow(file, render::roomy(text.len(), sections));
            let kernel = self.kernel.lock().clone();
            if let Some(kernel) = kernel {
                let ino = self.tree.ino(file);
                let told = tokio::task::spawn_blocking(move || kernel.invalidate(ino));
                if timeout(KERNEL_DEADLINE, told).await.is_err() {
                    tracing::warn!(ino = ino.0, "the kernel was slow to forget a file size");
                }
            }
        }
    }

    /// Modification times have moved. Nothing depends on when the kernel hears of it.
    fn tell_kernel(&self, inos: Vec<Ino>) {
        let kernel = self.kernel.lock().clone();
        if let (Some(kernel), false) = (kernel, inos.is_empty()) {
            tokio::task::spawn_blocking(move || {
                for ino in inos {
                    kernel.invalidate(ino);
                }
            });
        }
    }
}

/// A text, the keys in it, and how it is padded.
type Content = (Text, Vec<ServedKey>, Padding);

/// The key that a profile in this state shows.
fn key_of(profile: &ProfileName, state: &ProfileState) -> Option<ServedKey> {
    let ProfileState::Live(session) = state else { return None };
    Some(ServedKey {
        profile: profile.clone(),
        access_key_id: session.access_key_id.clone(),
        expiration: session.expiration,
    })
}

/// A failure is shown until a flight ends, which publishes anew; this only bounds it.
const FAILURE_SHOWN: Duration = Duration::from_hours(1);

/// How long the kernel may take to forget a size before the larger content is served all the same.
const KERNEL_DEADLINE: Duration = Duration::from_secs(1);

/// How long what was decided without an answer is shown.
const DECISION_SHOWN: Duration = Duration::from_secs(1);

/// No busy loop, however short the sessions.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Renderings of `config` kept.
const MOST_CONFIGS: usize = 64;
