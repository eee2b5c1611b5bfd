//! The daemon: its mounts from start to stop, and everything that changes them meanwhile.
//!
//! One task owns the mounts and does one thing after the other: start, what is asked over the
//! control socket, signals, leases that are over, and stop. Readers never wait for it.

mod broken;
mod control;
mod keep;
mod lease;
mod live;
mod mfa;
mod mounts;
mod needs;
mod observe;
mod offer;
mod outset;
mod reload;
mod serve;
mod signals;
mod start;
pub(super) mod state;
mod stop;
mod watchdog;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::blueprint::Blueprint;
use super::lifeline::{Lifeline, names};
use super::mfa::{Codes, notify};
use super::safe::{KeptSessions, Safe};
use crate::audit::{Event, Recorder, UnmountReason};
use crate::broker::Broker;
use crate::clock::{Clock, CorrectedClock};
use crate::config::{AddedMount, Settings};
use crate::control::Server;
use crate::fuse::{Connections, Shape};
use crate::identity::Logins;
use crate::metrics::CallMetrics;
use crate::model::TokenGrant;
use crate::open::Traffic;
use crate::os::manager::Manager;
use crate::os::paths::mount_stem;

use broken::{Broken, KeptMounts};
use control::{Control, Roster};
use lease::Lease;
use live::LiveMount;
use needs::{Keepers, Needs};
use outset::Outset;
use signals::Signals;
use state::DaemonState;

pub(super) use start::{NoRole, with_advice};
pub(super) use stop::Ended;

/// What all mounts of a daemon share.
#[derive(Debug)]
struct Shared {
    broker: Arc<Broker>,
    /// The tokens of services other than AWS.
    tokens: Arc<Broker<TokenGrant>>,
    clock: Arc<dyn Clock>,
    runtime_dir: PathBuf,
    /// The control socket.
    socket: PathBuf,
    /// Shown by `status`.
    log_file: Option<String>,
    /// Whether every mount says that it is locked.
    locked: bool,
    /// What is wrong with the configuration that this daemon was started with, until it is mended.
    broken: Option<Broken>,
    /// Where opens and everything else of note is recorded.
    recorder: Arc<Recorder>,
    /// The AssumeRole calls so far.
    calls: Arc<CallMetrics>,
    /// Who starts a daemon in the place of this one, and keeps its mounts meanwhile.
    manager: Option<Arc<Manager>>,
    /// The systemd unit of this daemon.
    unit: Option<String>,
    /// What is under way in all mounts.
    traffic: Arc<Traffic>,
    /// Where MFA codes come from.
    codes: Arc<Codes>,
    /// Who is logged in at issuers.
    logins: Arc<Logins>,
    /// Where logins lie for a later daemon.
    safe: Arc<Safe>,
    /// Whether they are to.
    keeps_logins: bool,
}

impl Shared {
    /// Gives the connections of a mount into keeping; returns the names under which they are kept.
    fn keep(&self, mountpoint: &Path, shape: Shape, connections: &Connections) -> Vec<String> {
        let Some(manager) = &self.manager else { return Vec::new() };
        let mut kept = Vec::new();
        for (name, descriptor) in names(&mount_stem(mountpoint), shape, connections) {
            match manager.keep(&name, mountpoint, descriptor) {
                Ok(()) => kept.push(name),
                Err(error) => tracing::warn!(%error, "the mount would not survive a crash"),
            }
        }
        kept
    }

    /// Nobody needs what is kept under these names any more.
    fn release(&self, names: &[String]) {
        for name in names {
            let released = self.manager.as_ref().map(|manager| manager.release(name));
            if let Some(Err(error)) = released {
                tracing::warn!(name, %error, "a connection is kept in vain");
            }
        }
    }

    /// That the daemon ends for good before it has served.
    fn over(&self) -> Ended {
        self.safe.set_open(false);
        Ended::Stopped
    }

    /// Tells the service manager, if there is one. One that does not listen cannot be helped.
    fn tell(&self, state: &str) {
        let _ = self.manager.as_ref().map(|manager| manager.tell(state));
    }
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
    keepers: Keepers,
    roster: Arc<Roster>,
    mounts: Vec<Served>,
    /// What mounts that are about to be made need; their sessions are under way already.
    expected: Needs,
    /// Ended, but held by readers.
    ended: Vec<Served>,
    next_number: u64,
    /// Whether the daemon began with a mount, so that it ends with its last one.
    ends_with_last: bool,
    /// Whether another process unmounts after a signal has ended this one.
    mounts_stay: bool,
    /// Where it is written down what a later daemon has to know.
    state_file: PathBuf,
    happen: mpsc::UnboundedSender<Happening>,
    happenings: mpsc::UnboundedReceiver<Happening>,
}

/// Where MFA codes come from, with those that are asked for on the terminal.
fn asked_codes(settings: Option<&Settings>, clock: &Arc<dyn Clock>, safe: &Safe) -> Arc<Codes> {
    let without = Settings::default();
    let settings = settings.unwrap_or(&without);
    let codes = Codes::new(settings, clock.clone());
    codes.ask_on_terminal(settings, |session| keep::wanted(settings) && safe.holds(session));
    codes
}

/// Mounts, or takes over what `lifeline` has kept, calls `ready`, and serves until a signal, or until
/// the last mount is gone by `unmount` or by the hand of somebody else; then unmounts.
///
/// # Errors
/// If a mount cannot be made or removed, or ([`NoRole`]) if every role fails permanently. If the
/// settings are wrong, unless `lifeline` has kept mounts.
pub(super) async fn run(
    blueprint: Blueprint,
    settings: Result<Settings>,
    log_file: Option<String>,
    mut lifeline: Lifeline,
    ready: impl FnOnce(),
) -> Result<Ended> {
    let clock: Arc<dyn Clock> = Arc::new(CorrectedClock::default());
    let runtime_dir = blueprint.surroundings.runtime_dir()?;
    let state_file = blueprint.state_file(&runtime_dir);
    let earlier = DaemonState::read(&state_file);
    let safe = Arc::new(Safe::of(&state_file, clock.clone()));
    // Before signals are ours: whoever is asked may end the program.
    let codes = asked_codes(settings.as_ref().ok(), &clock, &safe);
    let mut signals = Signals::install()?;
    let (recorder, calls) = (Arc::<Recorder>::default(), Arc::<CallMetrics>::default());
    let observer = observe::observer(&recorder, &calls);
    let kept = KeptMounts { lifeline: &lifeline, runtime_dir: &runtime_dir };
    let outset = Outset::new(&blueprint, settings, earlier.added, &recorder, kept, clock.now())?;
    let Outset { settings, mut plans, added, log, broken } = outset;
    log.apply(&recorder).await;
    recorder.note(observe::started(clock.now()));
    let logins = keep::logins(&safe, &clock, observer.clone());
    let (surroundings, held) = (&blueprint.surroundings, Some(logins.clone()));
    let source = surroundings.sts(&settings, clock.clone(), observer, codes.clone(), held).await;
    let source = KeptSessions::new(source, safe.clone());
    let (broker, tokens) = needs::brokers(&settings, source, &clock, &logins);
    let socket = blueprint.socket(&runtime_dir);
    let (manager, unit) = (lifeline.manager.clone(), lifeline.unit.clone());
    let mut shared = Shared {
        broker: broker.clone(),
        tokens,
        clock: clock.clone(),
        runtime_dir,
        socket,
        log_file,
        // Whoever starts a daemon by hand wants it to serve; one that only takes over goes on.
        locked: earlier.locked && lifeline.is_in_use(),
        // What is wanted cannot be known while the configuration is broken.
        keeps_logins: broken.as_ref().map_or(keep::wanted(&settings), |_| earlier.keeps_logins),
        broken,
        recorder: recorder.clone(),
        calls: calls.clone(),
        manager,
        unit,
        traffic: Traffic::new(settings.max_waiting_opens),
        codes,
        logins,
        safe,
    };
    let base_files = blueprint.surroundings.base_files();
    let wanted = plans.len();
    plans.retain(|plan| !start::was_removed(plan, &lifeline));
    let remaining = plans.len();
    let mounts = start::prepare_or_hold(plans, &mut shared, &base_files, &mut lifeline)?;
    start::discard(&shared, &mut lifeline);
    keep::begin(&shared, &settings);
    if remaining == 0 && (wanted > 0 || shared.broken.is_some()) {
        DaemonState::default().keep(&state_file);
        return Ok(shared.over());
    }
    let needs = Needs::of(mounts.iter().map(|(plan, _)| plan));
    let takes_over = start::any_kept(&mounts);
    // Readers of a mount that was kept wait already; their opens wait for the sessions themselves.
    if !takes_over && !shared.locked {
        tokio::select! {
            () = needs.fetch(&shared, settings.open_deadline) => {}
            _ = signals.stop() => return Ok(shared.over()),
        }
        start::some_role(&broker, &*clock, &needs.chains)?;
    }

    let (server, conversations) = Server::bind(&shared.socket)
        .with_context(|| format!("binding {}", shared.socket.display()))?;
    let (happen, happenings) = mpsc::unbounded_channel();
    let config = blueprint.config_file();
    let roster = Arc::new(Roster::new(config, &shared));
    let keepers = Keepers::of(&shared);
    let mut daemon = Daemon {
        blueprint,
        shared,
        keepers,
        roster,
        mounts: Vec::new(),
        expected: needs,
        ended: Vec::new(),
        next_number: 0,
        ends_with_last: !mounts.is_empty(),
        mounts_stay: lifeline.mounts_stay,
        state_file,
        happen,
        happenings,
    };
    daemon.mount_all(mounts, added, takes_over).await?;
    daemon.expected = Needs::default();
    daemon.remember();
    daemon.changed();
    let (ask, asked) = mpsc::channel(MOST_ORDERS);
    let control = Control::new(daemon.roster.clone(), &daemon.shared, ask);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.run(Arc::new(control)).await });
    // The manager first: one that has not heard it takes a crash for a start that failed.
    daemon.shared.tell(&format!("READY=1\nSTATUS={}", daemon.roster.summary()));
    ready();
    let (roster, traffic) = (daemon.roster.clone(), daemon.shared.traffic.clone());
    tasks.spawn(watchdog::feed(roster, traffic, lifeline.manager, lifeline.watchdog));
    let (roster, broker) = (daemon.roster.clone(), &daemon.shared.broker);
    let needed = move || roster.mfa_needed();
    tasks.spawn(notify(daemon.shared.codes.clone(), broker.changes(), needed));
    let stop = daemon.serve(&mut signals, asked).await;
    daemon.stop(stop, tasks, conversations).await
}

impl Daemon {
    fn note(&self, event: Event) {
        self.shared.recorder.note(event);
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// Tells everybody who has to know which mounts there are.
    fn changed(&mut self) {
        let needs = if self.shared.locked {
            Needs::default()
        } else {
            Needs::of(self.mounts.iter().map(|it| &it.mount.plan)).and(&self.expected)
        };
        if self.shared.broken.is_none() {
            let sessions: Vec<_> = needs.chains.iter().filter_map(|chain| chain.mfa()).collect();
            self.shared.safe.retain_sessions(&sessions);
        }
        self.keepers.keep(needs);
        let broken = self.shared.broken.as_ref().map(|broken| broken.told.clone());
        self.roster.set(self.shared.locked, broken, &self.mounts);
    }
}

/// Orders that may wait while one is done.
const MOST_ORDERS: usize = 16;
