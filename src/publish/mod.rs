//! Keeps what the tree serves equal to what the broker holds: renders at renewal, so that an open
//! only has to pin what is there.

mod served;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, CLOCK_CHECK, Cause, Serving, SessionError};
use crate::clock::Clock;
use crate::model::RoleChain;
use crate::render::{self, MountStatus, Padding, Profile, ProfileState, ReaderPath, Text};
use crate::tree::{FileId, Ino, Snapshot, Tree};

use served::Section;
pub use served::Served;

/// Makes the kernel forget what it knows of an inode. Implemented by `fuse/`.
pub trait Invalidate: Debug + Send + Sync + 'static {
    /// Returns when the kernel has forgotten size, times and pages. May block; must not be called
    /// while holding a lock that an operation of the tree needs.
    fn invalidate(&self, ino: Ino);
}

/// The states that the files were rendered from.
#[derive(Debug, Default)]
struct Rendered {
    /// By role; for the files of its own.
    roles: Vec<Option<ProfileState>>,
    /// By role; for `credentials`. Empty before the first rendering.
    credentials: Vec<ProfileState>,
}

/// Renders the files of one mount.
#[derive(Debug)]
pub struct Publisher {
    served: Served,
    sections: Vec<Section>,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    tree: Arc<Tree>,
    kernel: Mutex<Option<Arc<dyn Invalidate>>>,
    /// What was rendered last. Held while publishing, so that two never interleave.
    last: tokio::sync::Mutex<Rendered>,
    configs: Mutex<HashMap<ReaderPath, Arc<Snapshot>>>,
}

impl Publisher {
    /// A publisher for `tree`, which must have been made for the same profiles.
    pub fn new(
        served: Served,
        broker: Arc<Broker>,
        clock: Arc<dyn Clock>,
        tree: Arc<Tree>,
    ) -> Arc<Self> {
        let sections = served.sections();
        let roles = vec![None; served.roles.len()];
        let last = tokio::sync::Mutex::new(Rendered { roles, credentials: Vec::new() });
        Arc::new(Self {
            served,
            sections,
            broker,
            clock,
            tree,
            kernel: Mutex::new(None),
            last,
            configs: Mutex::default(),
        })
    }

    /// From now on changes are told to the kernel.
    pub fn attach(&self, kernel: Arc<dyn Invalidate>) {
        *self.kernel.lock() = Some(kernel);
    }

    /// The chains that the content of a file depends on.
    pub fn chains(&self, file: FileId) -> Vec<Arc<RoleChain>> {
        let role = |index: usize| self.served.roles[self.sections[index].role].chain.clone();
        match file {
            FileId::Credentials => self.served.chains(),
            FileId::Config | FileId::Status => Vec::new(),
            FileId::Process(index) | FileId::Error(index) => vec![role(index)],
        }
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
        let known: Option<Vec<_>> = states.into_iter().collect();
        let fresh_until = match known {
            Some(known) => {
                let until = known.iter().map(|(_, until)| *until).min().unwrap_or(now);
                let states = known.into_iter().map(|(state, _)| state).collect();
                touched
                    .extend(self.publish_credentials(&mut last.credentials, states, until).await);
                until
            }
            // A flight is under way; its end is a change.
            None => now + CLOCK_CHECK,
        };
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
                self.tree.extend(process, *until);
                self.tree.extend(error, *until);
                continue;
            }
            let json = render::process_json(&section.name, state);
            let reason = match state {
                ProfileState::Live(_) => Text::default(),
                ProfileState::Failing(error) => {
                    Text::new(render::failure_line(&section.name, error) + "\n")
                }
            };
            touched.push(self.commit(process, json, Padding::Spaces, *until).await);
            touched.push(self.commit(error, reason, Padding::Newlines, *until).await);
        }
        touched
    }

    /// The file that all profiles share.
    async fn publish_credentials(
        &self,
        last: &mut Vec<ProfileState>,
        states: Vec<ProfileState>,
        until: SystemTime,
    ) -> Option<Ino> {
        let same = last.len() == states.len()
            && last.iter().zip(&states).all(|(last, state)| last.same_as(state));
        if same {
            self.tree.extend(FileId::Credentials, until);
            return None;
        }
        let profile = |section| (self.profile(section), states[section.role].clone());
        let profiles: Vec<_> = self.sections.iter().map(profile).collect();
        let text = render::credentials(&profiles, self.served.live_only);
        *last = states;
        Some(self.commit(FileId::Credentials, text, Padding::IniComment, until).await)
    }

    /// The `config` file for a reader that sees the mount at `path`.
    pub async fn config(&self, path: ReaderPath) -> Arc<Snapshot> {
        if let Some(snapshot) = self.configs.lock().get(&path) {
            return snapshot.clone();
        }
        let profiles: Vec<_> = self.sections.iter().map(|section| self.profile(section)).collect();
        let text = render::config(&profiles, &path, self.served.live_only);
        let snapshot = self.fit(FileId::Config, text, Padding::IniComment).await;
        let mut configs = self.configs.lock();
        // Every container may bring a path of its own; their number is theirs to choose.
        if configs.len() >= MOST_CONFIGS {
            configs.clear();
        }
        configs.insert(path, snapshot.clone());
        snapshot
    }

    /// `credmount/status.json` as of now.
    pub async fn status_file(&self, status: &MountStatus) -> Arc<Snapshot> {
        self.fit(FileId::Status, Text::new(render::status_json(status)), Padding::Spaces).await
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

    async fn commit(&self, file: FileId, text: Text, padding: Padding, until: SystemTime) -> Ino {
        let snapshot = self.fit(file, text, padding).await;
        self.tree.publish(file, snapshot, until, self.clock.now());
        self.tree.ino(file)
    }

    /// Pads to the file's size. A text that has outgrown it makes the file grow first: the larger
    /// size is told, the kernel forgets the old one, and only then is there content of that size.
    async fn fit(&self, file: FileId, text: Text, padding: Padding) -> Arc<Snapshot> {
        let mut text = text;
        loop {
            let size = self.tree.size(file);
            match render::pad(text, size, padding) {
                Ok(padded) if size > 0 => return Arc::new(Snapshot::new(padded)),
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
