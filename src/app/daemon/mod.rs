//! The daemon: its mounts from start to stop, and everything that changes them meanwhile.
//!
//! One task owns the mounts and does one thing after the other: start, what is asked over the
//! control socket, signals, leases that are over, and stop. Readers never wait for it.

mod control;
mod lease;
mod live;
mod observe;
mod plan;
mod reload;
mod signals;
mod start;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::blueprint::Blueprint;
use crate::audit::{Event, Moment, Recorder, UnmountReason};
use crate::broker::schedule::Jitter;
use crate::broker::{Broker, Cause, Keeper};
use crate::clock::{Clock, SystemClock};
use crate::config::{AddedMount, Settings};
use crate::control::{Conversations, LeaseRequest, Server};
use crate::metrics::CallMetrics;
use crate::model::RoleChain;

use control::{Answer, Asked, Control, Order, Roster};
use lease::Lease;
use live::LiveMount;
use signals::{Heard, Signals};

pub(super) use plan::{Plan, refuse_served};
pub(super) use start::{NoRole, with_advice};

/// What all mounts of a daemon share.
#[derive(Debug)]
struct Shared {
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    runtime_dir: PathBuf,
    /// The control socket.
    socket: PathBuf,
    /// Shown by `status`.
    log_file: Option<String>,
    /// Whether every mount says that it is locked.
    locked: bool,
    /// Where opens and everything else of note is recorded.
    recorder: Arc<Recorder>,
    /// The AssumeRole calls so far.
    calls: Arc<CallMetrics>,
}

/// A mount and what ends it.
#[derive(Debug)]
struct Served {
    /// Its number in this daemon's life.
    number: u64,
    mount: LiveMount,
    /// Only of a mount that was added at run time.
    added: Option<(AddedMount, Lease)>,
}

/// What happens to a mount by itself.
#[derive(Debug)]
enum Happening {
    /// The kernel has let go of the mount with this number.
    Gone(u64, io::Result<()>),
    /// The lease of the mount with this number is over.
    LeaseOver(u64, UnmountReason),
}

/// The daemon's own task.
#[derive(Debug)]
struct Daemon {
    blueprint: Blueprint,
    shared: Shared,
    keeper: Keeper,
    roster: Arc<Roster>,
    mounts: Vec<Served>,
    /// Ended, but held by readers.
    ended: Vec<Served>,
    next_number: u64,
    /// Whether the daemon began with a mount, so that it ends with its last one.
    ends_with_last: bool,
    happen: mpsc::UnboundedSender<Happening>,
    happenings: mpsc::UnboundedReceiver<Happening>,
}

/// Why the daemon stops.
#[derive(Debug)]
enum Stop {
    /// A signal.
    Signal(&'static str),
    /// The last mount was unmounted by command; the answer is still due.
    Asked(Answer),
    /// The last mount was removed by somebody else.
    Removed,
    /// The connection of the last mount to the kernel broke.
    Broken(io::Error),
}

/// Mounts, calls `ready`, and serves until a signal, or until the last mount is gone by `unmount`
/// or by the hand of somebody else; then unmounts.
///
/// # Errors
/// If a mount cannot be made or removed, or ([`NoRole`]) if every role fails permanently.
pub(super) async fn run(
    blueprint: Blueprint,
    settings: Settings,
    log_file: Option<String>,
    ready: impl FnOnce(),
) -> Result<()> {
    let mut signals = Signals::install()?;
    let plans = blueprint.plans(&settings)?;
    let runtime_dir = blueprint.surroundings.runtime_dir()?;
    let locks = start::prepare(&plans, &runtime_dir, &blueprint.surroundings.base_files())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (recorder, calls) = (Arc::<Recorder>::default(), Arc::<CallMetrics>::default());
    let observer = observe::observer(&recorder, &calls);
    observe::next_log(&settings, &recorder)?.apply(&recorder).await;
    recorder.note(observe::started(clock.now()));
    let source = blueprint.surroundings.sts(&settings, clock.clone(), observer).await;
    let source = Arc::new(source);
    let jitter = || Jitter::new(fastrand::f64());
    let broker = Broker::new(source, clock.clone(), settings.min_ttl, jitter);
    let chains = chains_of(plans.iter());
    tokio::select! {
        () = start::first_sessions(&broker, &chains, settings.open_deadline) => {}
        _ = signals.stop() => return Ok(()),
    }
    start::some_role(&broker, &*clock, &chains)?;

    let socket = blueprint.socket(&runtime_dir);
    let (server, conversations) =
        Server::bind(&socket).with_context(|| format!("binding {}", socket.display()))?;
    let (happen, happenings) = mpsc::unbounded_channel();
    let config = blueprint.config_file();
    let roster = Arc::new(Roster::new(config, recorder.clone(), calls.clone()));
    let keeper = Keeper::new(broker.clone());
    let shared =
        Shared { broker, clock, runtime_dir, socket, log_file, locked: false, recorder, calls };
    let mut daemon = Daemon {
        blueprint,
        shared,
        keeper,
        roster,
        mounts: Vec::new(),
        ended: Vec::new(),
        next_number: 0,
        ends_with_last: !plans.is_empty(),
        happen,
        happenings,
    };
    for (plan, lock) in plans.into_iter().zip(locks) {
        if let Err(error) = daemon.mount(plan, lock, None).await {
            // The error that led here is the one to tell; others are in the log.
            let _ = daemon.unmount_all();
            return Err(error);
        }
    }
    let (ask, asked) = mpsc::channel(MOST_ORDERS);
    let control = Control::new(daemon.roster.clone(), daemon.shared.broker.clone(), ask);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.run(Arc::new(control)).await });
    ready();
    let stop = daemon.serve(&mut signals, asked).await;
    daemon.stop(stop, tasks, conversations).await
}

impl Daemon {
    /// Does what is asked and what happens, one after the other, until it is time to stop.
    async fn serve(&mut self, signals: &mut Signals, mut asked: mpsc::Receiver<Asked>) -> Stop {
        loop {
            tokio::select! {
                heard = signals.heard() => match heard {
                    Heard::Stop(signal) => return Stop::Signal(signal),
                    Heard::Reload => {
                        tracing::info!("reloading after SIGHUP");
                        self.shared.recorder.reopen();
                        if let Err(error) = self.reload().await {
                            tracing::error!("nothing is changed: {error:#}");
                        }
                    }
                },
                Some(asked) = asked.recv() => {
                    if let Some(stop) = self.obey(asked).await {
                        return stop;
                    }
                }
                Some(happening) = self.happenings.recv() => {
                    if let Some(stop) = self.happened(happening).await {
                        return stop;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, asked: Asked) -> Option<Stop> {
        let (order, answer) = asked.split();
        let done = match order {
            Order::Unmount(mountpoint) => {
                let is = |it: &Served| it.mount.plan.mountpoint.display().to_string() == mountpoint;
                let at = self.mounts.iter().position(is);
                match at {
                    // The answer is given when nothing of the daemon is left.
                    Some(_) if self.mounts.len() == 1 && self.ends_with_last => {
                        return Some(Stop::Asked(answer));
                    }
                    Some(at) => self.end(at, UnmountReason::Command).await.map(|()| String::new()),
                    None => Err(anyhow::anyhow!("{mountpoint} is not a mount of this daemon")),
                }
            }
            Order::Reload => self.reload().await,
            Order::Add(added, lease) => self.add(added, lease).await,
            Order::Remove(name) => self.remove(&name).await.map(|()| String::new()),
            Order::Lock => self.lock(true).await,
            Order::Unlock => self.lock(false).await,
        };
        answer.give(done);
        None
    }

    async fn happened(&mut self, happening: Happening) -> Option<Stop> {
        match happening {
            Happening::Gone(number, end) => {
                self.ended.retain(|it| it.number != number);
                let at = self.mounts.iter().position(|it| it.number == number)?;
                let mut gone = self.mounts.remove(at);
                let mountpoint = gone.mount.plan.mountpoint.display().to_string();
                let reason =
                    if end.is_ok() { UnmountReason::Foreign } else { UnmountReason::Broken };
                self.note(observe::unmounted(&gone.mount.plan, reason, self.now()));
                self.changed();
                match end {
                    Ok(()) => tracing::info!(mountpoint, "the mount was removed by somebody else"),
                    Err(error) => {
                        tracing::error!(mountpoint, %error, "the connection to the kernel broke");
                        if let Err(error) = gone.mount.unmount() {
                            tracing::warn!(%error, "the broken mount stays");
                        }
                        if self.mounts.is_empty() && self.ends_with_last {
                            return Some(Stop::Broken(error));
                        }
                    }
                }
                (self.mounts.is_empty() && self.ends_with_last).then_some(Stop::Removed)
            }
            Happening::LeaseOver(number, reason) => {
                let at = self.mounts.iter().position(|it| it.number == number)?;
                let name = self.mounts[at].mount.plan.label();
                tracing::info!(name, ?reason, "the time of the mount is over");
                if let Err(error) = self.end(at, reason).await {
                    tracing::warn!(name, "{error:#}");
                }
                None
            }
        }
    }

    /// Makes one mount. Its sessions are under way already.
    async fn mount(
        &mut self,
        plan: Plan,
        lock: std::os::fd::OwnedFd,
        added: Option<(AddedMount, Lease)>,
    ) -> Result<()> {
        self.next_number += 1;
        let number = self.next_number;
        let happen = self.happen.clone();
        let gone = move |end| drop(happen.send(Happening::Gone(number, end)));
        let mount = LiveMount::start(plan, lock, &self.shared, gone).await?;
        if let Some((_, lease)) = &added {
            let happen = self.happen.clone();
            let over = move |reason| drop(happen.send(Happening::LeaseOver(number, reason)));
            lease.watch(self.shared.clock.clone(), over);
        }
        self.note(observe::mounted(&mount.plan, self.now()));
        self.mounts.push(Served { number, mount, added });
        self.changed();
        Ok(())
    }

    /// Adds a mount at run time.
    async fn add(&mut self, added: AddedMount, asked: LeaseRequest) -> Result<String> {
        let lease = Lease::new(&asked, self.shared.clock.now())?;
        let name = added.name.clone();
        let others = self.mounts.iter().filter_map(|it| it.added.as_ref());
        let mut all: Vec<AddedMount> = others.map(|(added, _)| added.clone()).collect();
        all.push(added.clone());
        let settings = self.blueprint.settings(&all)?;
        let plans = self.blueprint.plans(&settings)?;
        let plan = plans.into_iter().find(|plan| plan.name.as_ref() == Some(&name));
        let plan = plan.with_context(|| format!("the mount {name} was not understood"))?;
        let (dir, base_files) =
            (self.shared.runtime_dir.clone(), self.blueprint.surroundings.base_files());
        let lock = plan.prepare(&dir, &base_files)?;
        if !self.shared.locked {
            let chains = plan.served.chains();
            start::first_sessions(&self.shared.broker, &chains, plan.open_deadline).await;
            start::some_role(&self.shared.broker, &*self.shared.clock, &chains)
                .map_err(with_advice)?;
        }
        self.mount(plan, lock, Some((added, lease))).await?;
        Ok(String::new())
    }

    async fn remove(&mut self, name: &str) -> Result<()> {
        let named = |it: &Served| it.added.as_ref().is_some_and(|(added, _)| added.name == name);
        let Some(at) = self.mounts.iter().position(named) else {
            let configured =
                self.mounts.iter().any(|it| it.mount.plan.name.as_deref() == Some(name));
            anyhow::ensure!(
                !configured,
                "mount {name} is of the configuration: take it out of the file, then credmount \
                 reload"
            );
            anyhow::bail!("this daemon has no mount {name}; credmount status lists its mounts");
        };
        self.end(at, UnmountReason::Command).await
    }

    /// Ends one mount; the daemon goes on.
    async fn end(&mut self, at: usize, reason: UnmountReason) -> Result<()> {
        let mut ended = self.mounts.remove(at);
        if let Some((_, lease)) = &ended.added {
            lease.cancel();
        }
        let done = ended.mount.end().await;
        self.note(observe::unmounted(&ended.mount.plan, reason, self.now()));
        self.ended.push(ended);
        self.changed();
        done
    }

    async fn lock(&mut self, locked: bool) -> Result<String> {
        self.shared.locked = locked;
        // First no new session, so that none is rendered after the lock was answered.
        self.changed();
        for it in &self.mounts {
            it.mount.close(locked.then_some(Cause::Locked)).await;
        }
        let moment = Moment { time: self.now() };
        self.note(if locked { Event::Lock(moment) } else { Event::Unlock(moment) });
        Ok(String::new())
    }

    fn note(&self, event: Event) {
        self.shared.recorder.note(event);
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// Tells everybody who has to know which mounts there are.
    fn changed(&mut self) {
        let chains = if self.shared.locked {
            Vec::new()
        } else {
            chains_of(self.mounts.iter().map(|it| &it.mount.plan))
        };
        self.keeper.keep(chains);
        self.roster.set(self.shared.locked, &self.mounts);
    }

    /// Unmounts everything. Errors are logged; the first one is returned.
    fn unmount_all(&mut self) -> Result<()> {
        let mut first = Ok(());
        for it in &mut self.mounts {
            if let Err(error) = it.mount.unmount() {
                tracing::warn!(mount = it.mount.plan.label(), "{error:#}");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Unmounts, lets the last readers finish, and answers who asked for it.
    async fn stop(
        mut self,
        stop: Stop,
        mut tasks: JoinSet<()>,
        mut conversations: Conversations,
    ) -> Result<()> {
        if let Stop::Signal(signal) = &stop {
            tracing::info!(signal, "stopping");
        }
        let reason = match &stop {
            Stop::Asked(_) => UnmountReason::Command,
            Stop::Signal(_) | Stop::Removed | Stop::Broken(_) => UnmountReason::Stop,
        };
        let unmounted = self.unmount_all();
        if unmounted.is_ok() {
            // Readers inside, and bind mounts in containers, may keep the connection open.
            for it in &mut self.mounts {
                it.mount.last_readers().await;
            }
        }
        for it in &self.mounts {
            self.note(observe::unmounted(&it.mount.plan, reason, self.now()));
        }
        self.note(observe::stopped(self.now()));
        self.shared.recorder.finish().await;
        // Removes the socket: a daemon that has answered `unmount` is seen by nobody any more.
        tasks.shutdown().await;
        self.mounts.clear();
        match stop {
            Stop::Asked(answer) => {
                let done = unmounted.as_ref().map(|()| String::new());
                answer.give(done.map_err(|error| anyhow::anyhow!("{error:#}")));
                let _ = tokio::time::timeout(ANSWER_GRACE, conversations.ended()).await;
                unmounted
            }
            Stop::Broken(error) => Err(error).context("the connection to the kernel broke"),
            Stop::Removed => {
                tracing::info!("no mount is left; stopping");
                Ok(())
            }
            Stop::Signal(_) => unmounted,
        }
    }
}

/// The chains of these mounts, each as often as it stands there.
fn chains_of<'a>(plans: impl Iterator<Item = &'a Plan>) -> Vec<Arc<RoleChain>> {
    plans.flat_map(|plan| plan.served.chains()).collect()
}

/// How long the answer to `unmount` may take to be written; others may be talking, too.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// Orders that may wait while one is done.
const MOST_ORDERS: usize = 16;
