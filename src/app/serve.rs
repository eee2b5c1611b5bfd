//! Serves one mount from start to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::broker::schedule::Jitter;
use crate::broker::{BoxFuture, Broker, RetryClass, Serving, SessionError, SessionSource};
use crate::clock::Clock;
use crate::control::{self, ClientError, Controlled, Request, Response, Server};
use crate::fuse::mount::{self, MountError, MountOptions};
use crate::fuse::{Mounted, OwnMount};
use crate::model::RoleChain;
use crate::open::{OpenOptions, OpenService};
use crate::os::paths;
use crate::os::signals::ignores_hangup;
use crate::publish::{Publisher, Served};
use crate::render::ReaderPath;
use crate::tree::Tree;

/// What one mount is to be.
#[derive(Debug)]
pub struct Plan {
    /// Where.
    pub mountpoint: PathBuf,
    /// What.
    pub served: Served,
    /// The configured floor.
    pub min_ttl: Option<Duration>,
    /// How long an open waits for a session.
    pub open_deadline: Duration,
    /// The directory of the mount as readers see it.
    pub reader_path: Option<ReaderPath>,
    /// The files that base credentials are read from.
    pub base_files: Vec<PathBuf>,
    /// The directory of the control socket.
    pub runtime_dir: PathBuf,
    /// Shown by `status`.
    pub log_file: Option<String>,
}

/// Every role failed, and waiting will not help.
#[derive(Debug, thiserror::Error)]
#[error("no role can be assumed")]
pub struct NoRole {
    /// The failure of each role.
    pub failures: Vec<SessionError>,
}

/// Mounts, calls `ready`, and serves until a signal, an `unmount` command, or the removal of the
/// mount by somebody else; then unmounts.
///
/// # Errors
/// If the mount cannot be made or removed, or ([`NoRole`]) if every role fails permanently.
pub async fn serve(
    plan: Plan,
    source: Arc<dyn SessionSource>,
    clock: Arc<dyn Clock>,
    ready: impl FnOnce(),
) -> Result<()> {
    let mut signals = Signals::install()?;
    let mountpoint = clear_mountpoint(&plan)?;
    refuse_base_files(&mountpoint, &plan.base_files)?;
    let lock = mount::lock_mountpoint(&mountpoint)?;
    let fallback_path = match mountpoint.to_str() {
        Some(path) => ReaderPath::parse(path).map_err(|error| error.to_string()),
        None => Err(format!("{} is not UTF-8", mountpoint.display())),
    };
    let fallback_path = match (fallback_path, &plan.reader_path) {
        (Ok(path), _) => path,
        (Err(_), Some(path)) => path.clone(),
        (Err(reason), None) => {
            let remedy = "mount elsewhere, or name the path that readers see with --reader-path";
            let reason = format!("{reason}; {remedy}");
            return Err(MountError::Mountpoint { path: mountpoint, reason }.into());
        }
    };

    let broker = Broker::new(source, clock.clone(), plan.min_ttl, || Jitter::new(fastrand::f64()));
    let chains = plan.served.chains();
    tokio::select! {
        first = first_sessions(&broker, &*clock, &chains, plan.open_deadline) => first?,
        _ = signals.stop() => return Ok(()),
    }

    let now = clock.now();
    // Seconds since 1970 modulo 2^32: two daemons of one mount never start in the same second.
    let epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() & 0x7fff_ffff;
    let epoch = u32::try_from(epoch).unwrap_or_default();
    let tree = Arc::new(Tree::new(&plan.served.profile_names(), now, epoch));
    let publisher = Publisher::new(plan.served, broker.clone(), clock.clone(), tree.clone());
    let locate = Arc::new(OwnMount::default());
    let options = OpenOptions {
        mountpoint: mountpoint.display().to_string(),
        deadline: plan.open_deadline,
        reader_path: plan.reader_path,
        fallback_path: fallback_path.clone(),
        log_file: plan.log_file,
    };
    let service =
        OpenService::new(tree, broker.clone(), publisher.clone(), clock, options, locate.clone());
    // Sizes are known before the first stat.
    publisher.publish(&[]).await;
    publisher.config(fallback_path).await;
    publisher.status_file(&service.status()).await;

    let socket = plan.runtime_dir.join(paths::mount_stem(&mountpoint)).with_extension("sock");
    let (server, mut conversations) =
        Server::bind(&socket).with_context(|| format!("binding {}", socket.display()))?;
    let fd = mount::mount(&mountpoint, MountOptions { read_only: true, allow_other: false })?;
    let mut mounted = match Mounted::serve(fd, service.clone(), Handle::current()) {
        Ok(mounted) => mounted,
        Err(error) => {
            remove_broken(&mountpoint);
            return Err(error).context("the FUSE handshake failed");
        }
    };
    publisher.attach(mounted.kernel());
    match mount::mounted_at(&mountpoint) {
        Ok(Some(entry)) => locate.set(entry),
        // Readers are then told the mount point.
        Ok(None) => tracing::warn!("the mount is not in mountinfo"),
        Err(error) => tracing::warn!(%error, "mountinfo cannot be read"),
    }

    let (stop, mut stops) = mpsc::channel(1);
    let control =
        Arc::new(Control { service, broker: broker.clone(), publisher: publisher.clone(), stop });
    let mut tasks = JoinSet::new();
    for chain in chains {
        tasks.spawn(broker.clone().maintain(chain));
    }
    tasks.spawn(publisher.run());
    tasks.spawn(async move { server.run(control).await });
    tracing::info!(mountpoint = %mountpoint.display(), "serving");
    ready();

    let asked = tokio::select! {
        signal = signals.stop() => { tracing::info!(signal, "stopping"); None }
        asked = stops.recv() => asked,
        ended = mounted.ended() => {
            if let Err(error) = ended {
                remove_broken(&mountpoint);
                return Err(error).context("the connection to the kernel broke");
            }
            tracing::info!("the mount was removed by somebody else; stopping");
            return Ok(());
        }
    };
    let unmounted = mount::unmount(&mountpoint);
    if unmounted.is_ok() {
        // Readers inside, and bind mounts in containers, may keep the connection open.
        let _ = tokio::time::timeout(LAST_READERS, mounted.ended()).await;
    }
    // Removes the socket: a daemon that has answered `unmount` is seen by nobody any more.
    tasks.shutdown().await;
    // Whoever was told that it is unmounted may mount again at once.
    drop(lock);
    if let Some(asked) = asked {
        // The asker may have gone away; it is done all the same.
        let _ = asked.send(unmounted.as_ref().map_err(ToString::to_string).copied());
        let _ = tokio::time::timeout(ANSWER_GRACE, conversations.ended()).await;
    }
    Ok(unmounted?)
}

/// Removes a mount that nobody will serve. The error that led here is the one to tell.
fn remove_broken(mountpoint: &Path) {
    if let Err(error) = mount::unmount(mountpoint) {
        tracing::warn!(%error, "the broken mount stays");
    }
}

/// Refuses a mount point that a live daemon serves.
///
/// # Errors
/// If there is such a daemon, also if it does not answer.
pub fn refuse_served(path: &Path, runtime_dir: &Path) -> Result<()> {
    let socket = runtime_dir.join(paths::mount_stem(path)).with_extension("sock");
    match control::ask(&socket, &Request::Status {}) {
        Err(ClientError::NoDaemon(_)) => Ok(()),
        Ok(Response::Status(status)) => bail!(
            "{} is served by credmount already (pid {}); stop it with: credmount unmount {}",
            path.display(),
            status.pid,
            path.display()
        ),
        Ok(_) | Err(_) => bail!(
            "{} is served by a credmount daemon that does not answer; end it, then try again",
            path.display()
        ),
    }
}

/// Refuses a mount point that a live daemon serves, clears one that a killed daemon left, and
/// checks the rest.
fn clear_mountpoint(plan: &Plan) -> Result<PathBuf> {
    let path = mount::absolute(&plan.mountpoint).map_err(|error| MountError::Mountpoint {
        path: plan.mountpoint.clone(),
        reason: error.to_string(),
    })?;
    refuse_served(&path, &plan.runtime_dir)?;
    if mount::mounted_at(&path)?.is_some() {
        tracing::warn!(mountpoint = %path.display(), "removing the mount that a killed daemon left");
        mount::unmount(&path)?;
    }
    Ok(mount::prepare_mountpoint(&path)?)
}

/// A mount over the files that base credentials are read from would make the daemon wait for
/// itself.
fn refuse_base_files(mountpoint: &Path, base_files: &[PathBuf]) -> Result<(), MountError> {
    for file in base_files {
        if paths::steps(file).iter().any(|step| step.starts_with(mountpoint)) {
            return Err(MountError::Mountpoint {
                path: mountpoint.to_owned(),
                reason: format!(
                    "the mount would hide {}, from which the base credentials are read; mount on a \
                     directory of its own, such as ~/.aws-live, or keep the base files elsewhere \
                     and name them in AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
                    file.display()
                ),
            });
        }
    }
    Ok(())
}

/// Fetches all roles at once. A role that fails for now is kept; the mount shows its failure.
async fn first_sessions(
    broker: &Arc<Broker>,
    clock: &dyn Clock,
    chains: &[Arc<RoleChain>],
    deadline: Duration,
) -> Result<(), NoRole> {
    let mut waits = JoinSet::new();
    for chain in chains {
        let (broker, chain) = (broker.clone(), chain.clone());
        waits.spawn(async move { broker.settled(&chain, deadline).await });
    }
    waits.join_all().await;
    let now = clock.now();
    let failures: Vec<SessionError> = chains
        .iter()
        .filter_map(|chain| match broker.serving(chain, now) {
            Serving::Failing(error) if error.cause.retry() == RetryClass::Permanent => Some(error),
            _ => None,
        })
        .collect();
    if failures.len() == chains.len() { Err(NoRole { failures }) } else { Ok(()) }
}

/// The commands of the control socket.
#[derive(Debug)]
struct Control {
    service: Arc<OpenService>,
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
    stop: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
}

impl Control {
    async fn refresh(&self, profile: Option<String>) -> Result<(), String> {
        let served = self.publisher.served();
        let chains = match &profile {
            None => served.chains(),
            Some(profile) => {
                vec![served.role(profile).map(|role| role.chain.clone()).ok_or_else(|| {
                    format!("this mount has no role {profile}; credmount status lists its roles")
                })?]
            }
        };
        let mut flights = JoinSet::new();
        for chain in chains {
            let broker = self.broker.clone();
            flights.spawn(async move { broker.refresh(&chain).await });
        }
        let outcomes = flights.join_all().await;
        self.publisher.publish(&[]).await;
        let failures: Vec<String> =
            outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }

    async fn unmount(&self) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        self.stop.send(done).await.map_err(|_| "the daemon is stopping already".to_owned())?;
        answer.await.map_err(|_| "the daemon ended without an answer".to_owned())?
    }
}

impl Controlled for Control {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let done = match request {
                Request::Status {} => return Response::Status(Box::new(self.service.status())),
                Request::Refresh { profile } => self.refresh(profile).await,
                Request::Unmount {} => self.unmount().await,
            };
            match done {
                Ok(()) => Response::Done,
                Err(reason) => Response::Failed(reason),
            }
        })
    }
}

/// The signals that end the daemon. Caught from the start, so that none leaves a mount behind.
#[derive(Debug)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// The terminal was closed. Absent where it is ignored, as below nohup.
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    fn install() -> Result<Self> {
        let install = |kind| signal(kind).context("catching signals");
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(install(SignalKind::hangup())?) },
        })
    }

    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = hangup(&mut self.hangup) => "SIGHUP",
        }
    }
}

async fn hangup(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// How long a stopping daemon still answers those who read while it unmounts.
const LAST_READERS: Duration = Duration::from_secs(1);

/// How long the answer to `unmount` may take to be written; others may be talking, too.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
