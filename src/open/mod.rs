//! The path of one open, top to bottom.

mod gate;

use std::fmt::Debug;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::audit::RoleRead;
use crate::broker::Broker;
use crate::clock::{Clock, CorrectedClock};
use crate::metrics::{MountMetrics, MountView, OpenOutcome, RoleGauge, mount_text};
use crate::model::{ClockSkew, ProfileName, RoleChain};
use crate::publish::{Closed, Publisher};
use crate::render::{MountStatus, Padding, ReaderPath, RoleStatus, instant, status_json};
use crate::status::role_statuses;
use crate::tree::{Fh, FileId, FsError, Ino, Open, Tree, View};

pub use gate::{Gate, IdentifyCaller};

/// Tells where a reader sees our mount. Implemented by `fuse/` and `os/`.
pub trait LocateMount: Debug + Send + Sync + 'static {
    /// The directory of the mount as the thread `tid` sees it; `None` if that cannot be known.
    /// May block.
    fn seen_by(&self, tid: u32) -> Option<ReaderPath>;
}

/// Who asks, in the words of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requester {
    /// The file-system user id, in the initial user namespace.
    pub uid: u32,
    /// The file-system group id, likewise.
    pub gid: u32,
    /// The thread, in the daemon's pid namespace; 0 outside of it.
    pub tid: u32,
    /// Whether the request was read by an earlier daemon already: its thread may be gone by now.
    pub resent: bool,
    /// When the request was read.
    pub at: Instant,
}

/// The answer to the first half of an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum First {
    /// The content is pinned.
    Ready(Fh),
    /// [`OpenService::open_later`] has to be asked, which may wait.
    Later(FileId),
}

/// How one mount answers opens.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The mount's name in the configuration; `None` for the mount of a command line.
    pub name: Option<String>,
    /// The mount point, as `status` shows it.
    pub mountpoint: String,
    /// How long an open waits for a session.
    pub deadline: Duration,
    /// The directory of the mount as all readers see it, if it was configured.
    pub reader_path: Option<ReaderPath>,
    /// The same for readers of which nothing is known: the mount point.
    pub fallback_path: ReaderPath,
    /// The log of a daemon in the background.
    pub log_file: Option<String>,
}

/// What one mount has as long as it is mounted, whatever its configuration becomes.
#[derive(Debug)]
pub struct MountLife {
    since: SystemTime,
    reads: AtomicU64,
    /// Where its opens are counted.
    pub metrics: Arc<MountMetrics>,
    /// Why it serves no role, if so.
    pub closed: Arc<Closed>,
}

impl MountLife {
    /// A mount that begins to serve at `since`.
    pub fn new(since: SystemTime) -> Arc<Self> {
        Arc::new(Self {
            since,
            reads: AtomicU64::new(0),
            metrics: Arc::default(),
            closed: Arc::default(),
        })
    }
}

/// The service of a mount at present: a reload puts another in its place. Opens under way end with
/// the one they began with.
#[derive(Debug)]
pub struct CurrentService(RwLock<Arc<OpenService>>);

impl CurrentService {
    /// Begins with `service`.
    pub fn new(service: Arc<OpenService>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(service)))
    }

    /// The service of now.
    pub fn get(&self) -> Arc<OpenService> {
        self.0.read().clone()
    }

    /// Puts `next` in the place of the service.
    pub fn replace(&self, next: Arc<OpenService>) {
        *self.0.write() = next;
    }
}

/// Answers opens by one state of the configuration.
#[derive(Debug)]
pub struct OpenService {
    tree: Arc<Tree>,
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
    clock: Arc<dyn Clock>,
    options: OpenOptions,
    locate: Arc<dyn LocateMount>,
    life: Arc<MountLife>,
    gate: Gate,
}

impl OpenService {
    /// A service over the parts of one mount.
    #[expect(clippy::too_many_arguments, reason = "the parts of one mount, put together once")]
    pub fn new(
        tree: Arc<Tree>,
        broker: Arc<Broker>,
        publisher: Arc<Publisher>,
        clock: Arc<dyn Clock>,
        options: OpenOptions,
        locate: Arc<dyn LocateMount>,
        life: Arc<MountLife>,
        gate: Gate,
    ) -> Arc<Self> {
        Arc::new(Self { tree, broker, publisher, clock, options, locate, life, gate })
    }

    /// The tree that is served.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What keeps the tree up to date.
    pub fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// The first half, which never waits: pins what is fresh, for a reader of whom enough is known.
    ///
    /// # Errors
    /// For what is no file of ours or not for this reader; never because a role fails.
    pub fn open(&self, ino: Ino, requester: Requester) -> Result<First, FsError> {
        let file = self.tree.file_at(ino)?;
        let shows = |view| self.publisher.shows(file, view);
        let Some(verdict) = self.gate.at_once(file, requester, shows) else {
            return Ok(First::Later(file));
        };
        let Some(view) = verdict.view else {
            self.gate.count(file, OpenOutcome::Refused, requester.at);
            return Err(FsError::Refused);
        };
        let content = Publisher::content_of(file, view);
        Ok(match self.tree.open(file, content, self.clock.now()) {
            Open::Ready(fh) => {
                self.count(file, OpenOutcome::Ready, requester);
                First::Ready(fh)
            }
            Open::Due => First::Later(file),
        })
    }

    /// The second half: finds out who asks if that matters, makes the content if it has to be made,
    /// waiting for the sessions it needs at most until the deadline, and pins what can be said then.
    /// Returns when the open is recorded.
    ///
    /// # Errors
    /// If the file is not for this reader, or must not be read unrecorded; never because a role
    /// fails.
    pub async fn open_later(&self, file: FileId, requester: Requester) -> Result<Fh, FsError> {
        let caller = self.gate.caller(requester).await;
        let verdict = self.gate.judge(&caller, |view| self.publisher.shows(file, view));
        let opened = match verdict.view {
            Some(view) => Some(self.pin(file, view, requester.tid).await),
            None => None,
        };
        let handle = opened.map(|(fh, _)| fh);
        if self.gate.records(file, verdict) {
            let keys = handle.map(|fh| self.tree.keys(fh)).unwrap_or_default();
            let profiles = self.publisher.profiles(file, verdict.view);
            let read = |name: &ProfileName| {
                let key = keys.iter().find(|key| key.profile == *name);
                key.map_or_else(|| RoleRead::without_key(name), RoleRead::from)
            };
            let roles = profiles.into_iter().map(read).collect();
            let path = self.publisher.path(file);
            let now = self.clock.now();
            if !self.gate.record(&path, &caller, verdict, roles, requester.at, now).await {
                if let Some(fh) = handle {
                    self.tree.release(fh);
                }
                self.gate.count(file, OpenOutcome::Refused, requester.at);
                return Err(FsError::Refused);
            }
        }
        let Some((fh, outcome)) = opened else {
            self.gate.count(file, OpenOutcome::Refused, requester.at);
            return Err(FsError::Refused);
        };
        self.count(file, outcome, requester);
        Ok(fh)
    }

    /// Whether a caller may use the writable directories, if that can be said at once: whoever may
    /// read every role may.
    pub fn admits_at_once(&self, requester: Requester) -> Option<bool> {
        self.gate.admits_at_once(requester)
    }

    /// The same, once enough is known of the caller.
    pub async fn admits(&self, requester: Requester) -> bool {
        let caller = self.gate.caller(requester).await;
        self.gate.admits(&caller)
    }

    /// Makes what has to be made and pins it.
    async fn pin(&self, file: FileId, view: View, tid: u32) -> (Fh, OpenOutcome) {
        let momentary = match file {
            FileId::Config => {
                let path = self.reader_path(tid).await;
                self.publisher.config(view, path).await
            }
            FileId::Status => {
                let text = status_json(&self.status_of(view));
                self.publisher.momentary(file, text, Padding::Spaces).await
            }
            FileId::Metrics => {
                let text = self.metrics_of(view);
                self.publisher.momentary(file, text, Padding::Newlines).await
            }
            FileId::Credentials | FileId::Process(_) | FileId::Error(_) => {
                return self.pin_keys(file, view).await;
            }
        };
        (self.tree.pin(momentary), OpenOutcome::Ready)
    }

    async fn pin_keys(&self, file: FileId, view: View) -> (Fh, OpenOutcome) {
        let content = Publisher::content_of(file, view);
        // Who came before us may have had it published.
        if let Open::Ready(fh) = self.tree.open(file, content, self.clock.now()) {
            return (fh, OpenOutcome::Ready);
        }
        let chains = self.publisher.chains(file, view);
        self.settle(&chains).await;
        // Who waited beside us may have published already.
        let mut decided: &[Arc<RoleChain>] = &[];
        loop {
            if let Open::Ready(fh) = self.tree.open(file, content, self.clock.now()) {
                return (fh, OpenOutcome::Waited);
            }
            self.publisher.publish(decided).await;
            // Sessions so short that they fall due meanwhile are served as they are.
            decided = &chains;
        }
    }

    /// What `status` shows.
    pub fn status(&self) -> MountStatus {
        self.status_of(View::ALL)
    }

    /// The same for readers of a view, who see only their roles.
    fn status_of(&self, view: View) -> MountStatus {
        let roles = role_statuses(&self.publisher, view, &self.broker, self.clock.now());
        MountStatus {
            name: self.options.name.clone(),
            mountpoint: self.options.mountpoint.clone(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: instant(self.life.since),
            reads: self.life.reads.load(Ordering::Relaxed),
            ends: None,
            audit: None,
            clock_skew_seconds: self.clock_skew(),
            log_file: self.options.log_file.clone(),
            roles,
        }
    }

    fn clock_skew(&self) -> Option<i64> {
        let skew = self.clock.corrected().and_then(CorrectedClock::skew);
        skew.map(ClockSkew::seconds)
    }

    /// What the gauges of metrics tell of each role that a view shows.
    pub fn gauges(&self, view: View) -> Vec<(String, Option<String>, Duration)> {
        let roles = role_statuses(&self.publisher, view, &self.broker, self.clock.now());
        let gauge = |role: RoleStatus| {
            let served = role.state == "live";
            let left = role.remaining_seconds.filter(|_| served).unwrap_or_default();
            (role.profile, role.role_arn, Duration::from_secs(left))
        };
        roles.into_iter().map(gauge).collect()
    }

    /// The rules of the mount, and where its opens are counted.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// `credmount/metrics` for readers of all roles.
    pub fn metrics(&self) -> String {
        self.metrics_of(View::ALL)
    }

    /// The same for readers of a view.
    fn metrics_of(&self, view: View) -> String {
        let gauges = self.gauges(view);
        let roles: Vec<_> = gauges.iter().map(role_gauge).collect();
        let metrics = &self.gate.metrics;
        let mount = MountView { label: &self.gate.label, metrics, roles: &roles };
        mount_text(&mount, &self.gate.calls)
    }

    fn count(&self, file: FileId, outcome: OpenOutcome, requester: Requester) {
        if file.holds_keys() {
            self.life.reads.fetch_add(1, Ordering::Relaxed);
        }
        self.gate.count(file, outcome, requester.at);
    }

    /// Waits for all roles at once.
    async fn settle(&self, chains: &[Arc<RoleChain>]) {
        let mut waits = JoinSet::new();
        for chain in chains {
            let (broker, chain) = (self.broker.clone(), chain.clone());
            let deadline = self.options.deadline;
            waits.spawn(async move { broker.settled(&chain, deadline).await });
        }
        waits.join_all().await;
    }

    async fn reader_path(&self, tid: u32) -> ReaderPath {
        if let Some(path) = &self.options.reader_path {
            return path.clone();
        }
        let locate = self.locate.clone();
        let seen = tokio::task::spawn_blocking(move || locate.seen_by(tid));
        let seen = tokio::time::timeout(PROC_DEADLINE, seen).await;
        let seen = seen.ok().and_then(Result::ok).flatten();
        seen.unwrap_or_else(|| self.options.fallback_path.clone())
    }
}

/// A gauge as metrics take it.
pub fn role_gauge(gauge: &(String, Option<String>, Duration)) -> RoleGauge<'_> {
    let (profile, role_arn, remaining) = gauge;
    RoleGauge { profile, role_arn: role_arn.as_deref(), remaining: *remaining }
}

/// `/proc` answers in microseconds unless something is badly wrong with the reader.
const PROC_DEADLINE: Duration = Duration::from_secs(2);
