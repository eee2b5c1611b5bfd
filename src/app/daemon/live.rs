//! One mount while it is served: made, changed by a reload, ended.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::geteuid;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Shared;
use super::offer::{Offer, listen};
use super::state::{Known, StateFile};
use crate::app::plan::Plan;
use crate::broker::Cause;
use crate::fuse::mount;
use crate::fuse::{Connections, Mounted, OwnMount, Shape};
use crate::model::{Caller, Secret};
use crate::open::{
    CurrentService, Gate, IdentifyCaller, MountLife, OpenOptions, OpenService, Requester,
};
use crate::os::{paths, process};
use crate::policy::Policy;
use crate::publish::{Invalidate, Publisher, Served};
use crate::render::{Padding, status_json};
use crate::tree::{FileId, Ino, Tree, View};

/// A mount that serves.
#[derive(Debug)]
pub(super) struct LiveMount {
    pub(super) plan: Plan,
    pub(super) service: Arc<CurrentService>,
    locate: Arc<OwnMount>,
    life: Arc<MountLife>,
    kernel: Arc<dyn Invalidate>,
    pub(super) offer: Offer,
    /// Publishes each change; ends with the configuration that it publishes.
    publishing: JoinHandle<()>,
    /// Turns true when the kernel has let go of the mount everywhere.
    gone: watch::Receiver<bool>,
    /// What a later daemon has to know of it.
    state: Arc<StateFile>,
    /// The names under which its connections are kept.
    kept: Vec<String>,
    /// Until the mount is ended: the way to the control socket, and the lock of a mount point that
    /// was free.
    held: Option<(SocketLink, Option<OwnedFd>)>,
}

/// What a mount is put on.
#[derive(Debug)]
pub(super) enum Ground {
    /// A mount point where nothing is mounted, and its lock.
    Free(OwnedFd),
    /// The mount that an earlier daemon left, so shaped.
    Kept(Shape, Connections),
}

impl LiveMount {
    /// Mounts, or takes over what is mounted, and serves. `ended` is called when the kernel has let
    /// go of the mount, by an unmount of ours or of somebody else.
    ///
    /// # Errors
    /// If it cannot be mounted; nothing is left behind. If it cannot be taken over; the mount stays.
    pub(super) async fn start(
        plan: Plan,
        ground: Ground,
        shared: &Shared,
        ended: impl FnOnce(io::Result<()>) + Send + 'static,
    ) -> Result<Self> {
        let now = shared.clock.now();
        let path = &plan.mountpoint;
        let state = StateFile::open(&shared.runtime_dir, path, shared.unit.as_ref(), now);
        let epoch = state.epoch();
        let tree = Tree::new(&plan.served.contents(), now, epoch).resuming(&state.told());
        state.know(Known::of(&plan));
        let state = Arc::new(state);
        let (locate, life) = (Arc::new(OwnMount::default()), MountLife::new(now));
        let mut offer = Offer::new()?;
        let service = service(&plan, tree, shared, &locate, &life, offer.token());
        // Sizes are known before the first stat.
        render_all(&service, &plan, shared).await;
        service.publisher().remember_by(state.clone()).await;
        let listener = listen(plan.endpoint, matches!(ground, Ground::Kept(..))).await?;
        let link = SocketLink::make(&shared.runtime_dir, &plan.mountpoint, &shared.socket)?;
        let service = CurrentService::new(service);
        let (lock, shape, connections) = match ground {
            Ground::Free(lock) => {
                let shape = plan.shape();
                (Some(lock), shape, Connections::make(&plan.mountpoint, shape)?)
            }
            Ground::Kept(shape, connections) => {
                tracing::info!(mountpoint = %plan.mountpoint.display(), "taking over the mount");
                (None, shape, connections)
            }
        };
        let kept = shared.keep(&plan.mountpoint, shape, &connections);
        let (clock, runtime) = (shared.clock.clone(), Handle::current());
        let mounted = Mounted::serve(connections, shape, &service, clock, epoch, &runtime)
            .with_context(|| format!("serving {}", plan.mountpoint.display()));
        let mounted = match mounted {
            // Nobody else would ever serve what was made here.
            Err(error) if lock.is_some() => {
                shared.release(&kept);
                mount::unmount(&plan.mountpoint)?;
                return Err(error);
            }
            mounted => mounted?,
        };
        let kernel = mounted.kernel();
        let publisher = service.get().publisher().clone();
        publisher.attach(kernel.clone());
        match mount::mounted_at(&plan.mountpoint) {
            Ok(Some(entry)) => locate.set(entry),
            // Readers are then told the mount point.
            Ok(None) => tracing::warn!("the mount is not in mountinfo"),
            Err(error) => tracing::warn!(%error, "mountinfo cannot be read"),
        }
        let (told, gone) = watch::channel(false);
        tokio::spawn(async move {
            let end = mounted.ended().await;
            // Nobody may wait for it.
            let _ = told.send(true);
            ended(end);
        });
        tracing::info!(mountpoint = %plan.mountpoint.display(), "serving");
        let publishing = tokio::spawn(publisher.run());
        let held = Some((link, lock));
        if let Some(listener) = listener {
            offer.open(listener, &plan.label(), &service);
        }
        Ok(Self { plan, service, locate, life, kernel, offer, publishing, gone, state, kept, held })
    }

    /// Serves by another plan from now on, without unmounting: descriptors and bind mounts live.
    /// Returns what of the plan cannot be done at present.
    pub(super) async fn replace(&mut self, plan: Plan, shared: &Shared) -> Option<String> {
        let before = self.service.get();
        if self.plan.served.failing.is_some() {
            // While nothing was served, everybody could read the token.
            match Offer::new() {
                Ok(offer) => std::mem::replace(&mut self.offer, offer).close().await,
                Err(error) => return Some(format!("{}: {error:#}", plan.label())),
            }
        }
        let tree = before.tree().successor(&plan.served.contents(), shared.clock.now());
        let next = service(&plan, tree, shared, &self.locate, &self.life, self.offer.token());
        render_all(&next, &plan, shared).await;
        // From here on only the next one says what readers are told.
        self.publishing.abort();
        // No content may be larger than what the kernel believes its file to be: the larger sizes
        // are told first, by the service that still answers.
        before.publisher().grow_as(next.tree()).await;
        self.forget(&[], &before).await;
        self.state.know(Known::of(&plan));
        next.publisher().remember_by(self.state.clone()).await;
        let gone = before.tree().gone_in(next.tree());
        self.service.replace(next.clone());
        next.publisher().attach(self.kernel.clone());
        self.forget(&gone, &next).await;
        self.publishing = tokio::spawn(next.publisher().clone().run());
        self.plan = plan;
        self.offer.move_to(self.plan.endpoint, &self.plan.label(), &self.service).await
    }

    /// Makes the kernel forget these names and all attributes.
    async fn forget(&self, names: &[(Ino, String)], service: &OpenService) {
        let (kernel, names, inos) = (self.kernel.clone(), names.to_vec(), service.tree().inos());
        let told = tokio::task::spawn_blocking(move || {
            for (parent, name) in names {
                kernel.forget(parent, &name);
            }
            for ino in inos {
                kernel.invalidate(ino);
            }
        });
        if tokio::time::timeout(KERNEL_DEADLINE, told).await.is_err() {
            tracing::warn!("the kernel was slow to forget what has changed");
        }
    }

    /// Every role fails from now on for this reason; with `None` as the broker has it. Readers that
    /// hold a mount which was ended, such as containers with a bind mount, are told so by every file
    /// until they let go.
    pub(super) async fn close(&self, cause: Option<Cause>) {
        self.service.get().publisher().close(cause).await;
    }

    /// Whether it is on its mount point, as far as this daemon knows.
    pub(super) fn is_mounted(&self) -> bool {
        self.held.is_some()
    }

    /// Whether it is still on its mount point, although the kernel has let go of it: somebody has
    /// aborted the connection (the kernel's `filesystems/fuse.rst`).
    pub(super) fn is_dead(&self) -> bool {
        let path = &self.plan.mountpoint;
        mount::mounted_at(path).is_ok_and(|mounted| mounted.is_some()) && mount::is_dead(path)
    }

    /// Takes the mount off its mount point, and frees that and the address of its endpoint.
    ///
    /// # Errors
    /// If it cannot be unmounted; this can be tried again.
    pub(super) async fn unmount(&mut self, shared: &Shared) -> Result<()> {
        if self.is_mounted() {
            mount::unmount(&self.plan.mountpoint)?;
            self.let_go(shared).await;
        }
        Ok(())
    }

    /// Nothing of it is mounted on its mount point any more. When this returns, the address of its
    /// endpoint is free, too.
    pub(super) async fn let_go(&mut self, shared: &Shared) {
        if self.is_mounted() {
            shared.release(&self.kept);
            self.state.remove();
        }
        self.held = None;
        self.offer.close().await;
    }

    /// Waits until the kernel has let go of the mount everywhere.
    pub(super) async fn last_readers(&mut self) {
        let _ = self.gone.wait_for(|gone| *gone).await;
    }
}

impl Drop for LiveMount {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

fn service(
    plan: &Plan,
    tree: Tree,
    shared: &Shared,
    locate: &Arc<OwnMount>,
    life: &Arc<MountLife>,
    token: &Secret,
) -> Arc<OpenService> {
    let (tree, broker, clock) = (Arc::new(tree), shared.broker.clone(), shared.clock.clone());
    let policy = Policy::new(plan.rules.clone(), geteuid().as_raw());
    let served = Served { views: policy.views().to_vec(), ..plan.served.clone() };
    let publisher = Publisher::new(
        served,
        broker.clone(),
        shared.tokens.clone(),
        clock.clone(),
        tree.clone(),
        life.closed.clone(),
    );
    let options = OpenOptions {
        name: plan.name.clone(),
        mountpoint: plan.mountpoint.display().to_string(),
        deadline: plan.open_deadline,
        reader_path: plan.reader_path.clone(),
        fallback_path: plan.fallback_path.clone(),
        log_file: shared.log_file.clone(),
        endpoint_token: plan.endpoint.map(|_| token.clone()),
    };
    let gate = Gate {
        label: plan.label(),
        policy,
        identify: Arc::new(ProcFs),
        recorder: shared.recorder.clone(),
        metrics: life.metrics.clone(),
        calls: shared.calls.clone(),
    };
    let (locate, life, traffic) = (locate.clone(), life.clone(), shared.traffic.clone());
    OpenService::new(tree, broker, publisher, clock, options, locate, life, gate, traffic)
}

/// Finds out who asks by `/proc`.
#[derive(Debug)]
struct ProcFs;

impl IdentifyCaller for ProcFs {
    fn identify(&self, requester: Requester) -> Caller {
        let Requester { uid, gid, tid, resent, .. } = requester;
        process::caller(uid, gid, tid, resent)
    }
}

/// Renders every file once, so that sizes are known.
async fn render_all(service: &Arc<OpenService>, plan: &Plan, shared: &Shared) {
    let publisher = service.publisher();
    publisher.close(shared.locked.then_some(Cause::Locked)).await;
    publisher.config(View::ALL, plan.fallback_path.clone()).await;
    let status = status_json(&service.status());
    publisher.momentary(FileId::Status, status, Padding::Spaces).await;
    publisher.momentary(FileId::Metrics, service.metrics(), Padding::Newlines).await;
    if plan.endpoint.is_some() {
        service.endpoint_token();
    }
}

/// The name by which commands find the daemon of a mount point; removed when dropped.
#[derive(Debug)]
struct SocketLink(Option<PathBuf>);

impl SocketLink {
    /// Links to `socket`, in the same directory, replacing what an earlier daemon left.
    fn make(runtime_dir: &Path, mountpoint: &Path, socket: &Path) -> Result<Self> {
        let link = paths::mount_socket(runtime_dir, mountpoint);
        if link == socket {
            return Ok(Self(None));
        }
        let target = socket.file_name().unwrap_or_default();
        let made = match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => symlink(target, &link),
        };
        made.with_context(|| format!("making {}", link.display()))?;
        Ok(Self(Some(link)))
    }
}

impl Drop for SocketLink {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            // A link left behind leads to no live daemon, and is replaced.
            let _ = fs::remove_file(link);
        }
    }
}

/// How long the kernel may take to forget before a reload goes on all the same.
const KERNEL_DEADLINE: Duration = Duration::from_secs(2);
