//! The path of one open, top to bottom.

mod content;
mod gate;
mod request;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod together;
mod traffic;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use tokio::time::Instant;

use crate::audit::{RECORD_DEADLINE, RoleRead};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::metrics::{MountMetrics, OpenOutcome};
use crate::model::Secret;
use crate::publish::{Closed, Publisher};
use crate::render::ReaderPath;
use crate::tree::{Fh, FileId, FsError, Ino, Open, Snapshot, Tree};

pub use gate::{Gate, IdentifyCaller};
pub use request::{Peer, Requested};
pub use shown::role_gauge;
use together::Together;
use traffic::PROC_DEADLINE;
pub use traffic::{Beat, Busy, Traffic};

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

/// What becomes of a READ by a handle of an earlier daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Resumed {
    /// The reader has read all.
    AtEnd,
    /// [`OpenService::open_again`] has to be asked.
    FromStart(FileId),
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
    /// What opens the endpoint of the mount; `None` without one.
    pub endpoint_token: Option<Secret>,
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
    traffic: Arc<Traffic>,
    together: Together,
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
        traffic: Arc<Traffic>,
    ) -> Arc<Self> {
        let together = Together::default();
        Arc::new(Self {
            tree,
            broker,
            publisher,
            clock,
            options,
            locate,
            life,
            gate,
            traffic,
            together,
        })
    }

    /// The tree that is served.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What is under way in all mounts of the daemon.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
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
    /// Returns when the open is recorded, and at most [`ANSWER_MARGIN`] after the deadline.
    ///
    /// # Errors
    /// If the file is not for this reader, or must not be read unrecorded; never because a role
    /// fails.
    pub async fn open_later(
        self: &Arc<Self>,
        file: FileId,
        requester: Requester,
    ) -> Result<Fh, FsError> {
        self.answer(file, requester, None).await
    }

    /// What a READ gets whose handle an earlier daemon gave out.
    ///
    /// # Errors
    /// [`FsError::StaleHandle`] where what was read before cannot be gone on with: the reader has to
    /// open the file again.
    pub fn resume(&self, ino: Ino, fh: Fh, offset: u64) -> Result<Resumed, FsError> {
        if !self.tree.is_earlier(fh) {
            return Err(FsError::StaleHandle);
        }
        let file = self.tree.file_at(ino)?;
        let size = self.tree.earlier_size(file);
        match offset {
            0 if size > 0 => Ok(Resumed::FromStart(file)),
            _ if size > 0 && offset >= size => Ok(Resumed::AtEnd),
            _ => Err(FsError::StaleHandle),
        }
    }

    /// As [`OpenService::open_later`] for a reader whose handle an earlier daemon gave out and who
    /// begins at the start of the file: whoever reads is handed out keys, so it is judged and
    /// recorded as an open is. From then on the handle stands for what is pinned.
    ///
    /// # Errors
    /// Those of an open; [`FsError::StaleHandle`] if too little is known of the reader for the rules
    /// of the mount, or if the content is larger now than the reader may believe.
    pub async fn open_again(
        self: &Arc<Self>,
        file: FileId,
        earlier: Fh,
        requester: Requester,
    ) -> Result<(), FsError> {
        self.answer(file, requester, Some(earlier)).await.map(drop)
    }

    async fn answer(
        self: &Arc<Self>,
        file: FileId,
        requester: Requester,
        earlier: Option<Fh>,
    ) -> Result<Fh, FsError> {
        let by = requester.at + self.options.deadline + ANSWER_MARGIN;
        let _promise = self.traffic.promise(by);
        let caller = self.gate.caller(requester, &self.traffic).await;
        if earlier.is_some() && !self.gate.knows(&caller) {
            return Err(FsError::StaleHandle);
        }
        let verdict = self.gate.judge(&caller, |view| self.publisher.shows(file, view));
        let mut opened = match verdict.view {
            Some(view) => Some(self.pin_in_time(file, view, requester).await?),
            None => None,
        };
        if let (Some(earlier), Some((fh, _))) = (earlier, &mut opened) {
            self.tree.resume(file, *fh, earlier)?;
            *fh = earlier;
        }
        let handle = opened.map(|(fh, _)| fh);
        if self.gate.records(file, verdict) {
            let keys = handle.map(|fh| self.tree.keys(fh)).unwrap_or_default();
            let read = |name: &String| {
                let key = keys.iter().find(|key| key.name == *name);
                key.map_or_else(|| RoleRead::without_key(name), RoleRead::from)
            };
            let names = self.publisher.names(file, verdict.view);
            let roles = names.iter().map(read).collect();
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
        let caller = self.gate.caller(requester, &self.traffic).await;
        self.gate.admits(&caller)
    }

    /// The file with the token of the endpoint, for those who may read it.
    pub fn endpoint_token(&self) -> Arc<Snapshot> {
        self.publisher.endpoint_token(self.options.endpoint_token.as_ref())
    }

    /// The rules of the mount, and where its opens are counted.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    fn count(&self, file: FileId, outcome: OpenOutcome, requester: Requester) {
        if file.holds_keys() {
            self.life.reads.fetch_add(1, Ordering::Relaxed);
        }
        self.gate.count(file, outcome, requester.at);
    }
}

/// How long after its deadline an open is answered at the latest, whatever fails: the time for
/// `/proc`, for rendering, for rendering once more in a hurry, and for the record.
pub const ANSWER_MARGIN: Duration = PROC_DEADLINE
    .saturating_add(RENDER_DEADLINE)
    .saturating_add(HURRY_DEADLINE)
    .saturating_add(RECORD_DEADLINE);

/// How long rendering may take beside the wait for sessions: microseconds, unless the kernel is slow
/// to forget a size.
const RENDER_DEADLINE: Duration = Duration::from_secs(1);

/// How long what is rendered instead may take.
const HURRY_DEADLINE: Duration = Duration::from_secs(2);
