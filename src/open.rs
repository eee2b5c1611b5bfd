//! The path of one open, top to bottom.

use std::fmt::Debug;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::model::RoleChain;
use crate::publish::Publisher;
use crate::render::{MountStatus, ReaderPath, instant};
use crate::status::role_statuses;
use crate::tree::{Fh, FileId, FsError, Ino, Open, Tree};

/// Tells where a reader sees our mount. Implemented by `fuse/` and `os/`.
pub trait LocateMount: Debug + Send + Sync + 'static {
    /// The directory of the mount as the thread `tid` sees it; `None` if that cannot be known.
    /// May block.
    fn seen_by(&self, tid: u32) -> Option<ReaderPath>;
}

/// How one mount answers opens.
#[derive(Debug, Clone)]
pub struct OpenOptions {
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

/// Answers opens.
#[derive(Debug)]
pub struct OpenService {
    tree: Arc<Tree>,
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
    clock: Arc<dyn Clock>,
    options: OpenOptions,
    locate: Arc<dyn LocateMount>,
    since: SystemTime,
    reads: AtomicU64,
}

impl OpenService {
    /// A service over the parts of one mount.
    pub fn new(
        tree: Arc<Tree>,
        broker: Arc<Broker>,
        publisher: Arc<Publisher>,
        clock: Arc<dyn Clock>,
        options: OpenOptions,
        locate: Arc<dyn LocateMount>,
    ) -> Arc<Self> {
        let (since, reads) = (clock.now(), AtomicU64::new(0));
        Arc::new(Self { tree, broker, publisher, clock, options, locate, since, reads })
    }

    /// The tree that is served.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The first half, which never waits: pins what is fresh.
    ///
    /// # Errors
    /// For what is no file of ours; never because a role fails.
    pub fn open(&self, ino: Ino) -> Result<Open, FsError> {
        let open = self.tree.open(ino, self.clock.now())?;
        if let Open::Ready(file, _) = open {
            self.count(file);
        }
        Ok(open)
    }

    /// The second half, for a file whose content has to be made first: waits for the sessions it
    /// needs, at most until the deadline, and pins what can be said then.
    pub async fn open_due(&self, file: FileId, tid: u32) -> Fh {
        match file {
            FileId::Config => {
                let path = self.reader_path(tid).await;
                let snapshot = self.publisher.config(path).await;
                self.tree.pin(snapshot)
            }
            FileId::Status => {
                let snapshot = self.publisher.status_file(&self.status()).await;
                self.tree.pin(snapshot)
            }
            FileId::Credentials | FileId::Process(_) | FileId::Error(_) => {
                self.count(file);
                let chains = self.publisher.chains(file);
                self.settle(&chains).await;
                // Who waited beside us may have published already.
                let mut decided: &[Arc<RoleChain>] = &[];
                loop {
                    if let Open::Ready(_, fh) = self.tree.open_file(file, self.clock.now()) {
                        return fh;
                    }
                    self.publisher.publish(decided).await;
                    // Sessions so short that they fall due meanwhile are served as they are.
                    decided = &chains;
                }
            }
        }
    }

    /// What `status` shows.
    pub fn status(&self) -> MountStatus {
        MountStatus {
            mountpoint: self.options.mountpoint.clone(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: instant(self.since),
            reads: self.reads.load(Ordering::Relaxed),
            log_file: self.options.log_file.clone(),
            roles: role_statuses(self.publisher.served(), &self.broker, self.clock.now()),
        }
    }

    fn count(&self, file: FileId) {
        if matches!(file, FileId::Credentials | FileId::Process(_)) {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
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

/// `/proc` answers in microseconds unless something is badly wrong with the reader.
const PROC_DEADLINE: Duration = Duration::from_secs(2);
