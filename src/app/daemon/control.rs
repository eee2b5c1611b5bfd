//! What is asked over the control socket: answered here if it only looks, else handed to the
//! daemon's own task.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::offer::Listening;
use super::{Served, Shared};
use crate::app::mfa::Codes;
use crate::app::safe::Safe;
use crate::audit::Recorder;
use crate::broker::{BoxFuture, Broker, SessionError, Sought};
use crate::clock::Clock;
use crate::config::AddedMount;
use crate::control::{Controlled, DaemonStatus, LeaseRequest, LoginAnswer, Request, Response};
use crate::identity::{Login, Logins};
use crate::metrics::{AuditCounts, CallMetrics, MountView, daemon_text};
use crate::model::{OidcIdentity, RoleChain, TokenGrant};
use crate::open::{CurrentService, OpenService, role_gauge};
use crate::render::{EndpointStatus, RoleStatus, instant};
use crate::tree::View;

/// What is to be done to the mounts.
#[derive(Debug)]
pub(super) enum Order {
    Unmount(String),
    Restart,
    Reload,
    Add(Box<AddedMount>, LeaseRequest),
    Remove(String),
    Lock,
    Unlock,
}

/// An order whose answer somebody waits for.
#[derive(Debug)]
pub(super) struct Asked {
    order: Order,
    answer: oneshot::Sender<Result<String>>,
}

impl Asked {
    /// The order, and the way to answer it.
    pub(super) fn split(self) -> (Order, Answer) {
        (self.order, Answer(self.answer))
    }
}

/// Where the answer to an order goes.
#[derive(Debug)]
pub(super) struct Answer(oneshot::Sender<Result<String>>);

impl Answer {
    /// Answers. The asker may have gone away; it is done all the same.
    pub(super) fn give(self, done: Result<String>) {
        let _ = self.0.send(done);
    }
}

/// The mounts as others than the daemon's own task see them.
#[derive(Debug)]
pub(super) struct Roster {
    config: Option<PathBuf>,
    recorder: Arc<Recorder>,
    calls: Arc<CallMetrics>,
    safe: Arc<Safe>,
    list: RwLock<List>,
}

#[derive(Debug, Default)]
struct List {
    locked: bool,
    /// What is wrong with the configuration.
    broken: Option<String>,
    mounts: Vec<Listed>,
}

#[derive(Debug, Clone)]
struct Listed {
    mountpoint: String,
    service: Arc<CurrentService>,
    ends: Option<String>,
    endpoint: Option<Listening>,
}

impl Roster {
    pub(super) fn new(config: Option<PathBuf>, shared: &Shared) -> Self {
        let (recorder, calls) = (shared.recorder.clone(), shared.calls.clone());
        Self { config, recorder, calls, safe: shared.safe.clone(), list: RwLock::default() }
    }

    /// From now on these are the mounts.
    pub(super) fn set(&self, locked: bool, broken: Option<String>, mounts: &[Served]) {
        let listed = |it: &Served| Listed {
            mountpoint: it.mount.plan.mountpoint.display().to_string(),
            service: it.mount.service.clone(),
            ends: it.added.as_ref().and_then(|(_, lease)| lease.until()).map(instant),
            endpoint: it.mount.offer.listening(),
        };
        let mounts = mounts.iter().map(listed).collect();
        *self.list.write() = List { locked, broken, mounts };
    }

    fn select(&self, mount: Option<&str>) -> Vec<Listed> {
        let list = self.list.read();
        let wanted = |it: &&Listed| mount.is_none_or(|mount| it.mountpoint == mount);
        list.mounts.iter().filter(wanted).cloned().collect()
    }

    /// The services of all mounts.
    pub(super) fn services(&self) -> Vec<Arc<OpenService>> {
        self.select(None).iter().map(|it| it.service.get()).collect()
    }

    pub(super) fn is_locked(&self) -> bool {
        self.list.read().locked
    }

    /// What Prometheus is told of all mounts.
    fn metrics(&self) -> String {
        let services = self.services();
        let gauges: Vec<_> = services.iter().map(|service| service.gauges(View::ALL)).collect();
        let roles: Vec<Vec<_>> =
            gauges.iter().map(|gauges| gauges.iter().map(role_gauge).collect()).collect();
        let view = |(service, roles)| -> MountView<'_> {
            let (service, roles): (&Arc<OpenService>, &Vec<_>) = (service, roles);
            let gate = service.gate();
            MountView { label: &gate.label, metrics: &gate.metrics, roles }
        };
        let mounts: Vec<_> = services.iter().zip(&roles).map(view).collect();
        // What the mounts do not count themselves: calls, and the daemon's own doings.
        let notes = self.recorder.notes();
        let rest = AuditCounts::new(notes.written(), notes.failed());
        daemon_text(&mounts, &self.calls, &rest)
    }

    /// What is wrong with the configuration, if anything.
    fn broken(&self) -> Option<String> {
        self.list.read().broken.clone()
    }

    /// One line about all roles, as in `prod: 47 min left, dev: failing`, or about what is wrong.
    pub(super) fn summary(&self) -> String {
        if let Some(broken) = self.broken() {
            let first = broken.lines().next().unwrap_or_default();
            return format!("configuration broken: {first}");
        }
        let list = self.select(None);
        let roles: Vec<_> = list.iter().flat_map(|it| it.service.get().status().roles).collect();
        let mut told: Vec<String> = roles.iter().map(role_summary).collect();
        // Mounts that share a role say the same of it.
        let mut seen = HashSet::new();
        told.retain(|it| seen.insert(it.clone()));
        let more = told.len().saturating_sub(MOST_IN_SUMMARY);
        told.truncate(MOST_IN_SUMMARY);
        told.extend((more > 0).then(|| format!("{more} more")));
        if self.list.read().locked { "locked".to_owned() } else { told.join(", ") }
    }

    fn status(&self, mount: Option<&str>) -> DaemonStatus {
        let mounts = self.select(mount).into_iter().map(|it| {
            let mut status = it.service.get().status();
            status.ends = it.ends;
            status.audit = self.recorder.status();
            status.endpoint = it.endpoint.map(|endpoint| EndpointStatus {
                address: endpoint.address.to_string(),
                trouble: endpoint.trouble.lock().clone(),
            });
            status.keep_logins = self.safe.status();
            status.broken = self.broken();
            status
        });
        DaemonStatus {
            pid: process::id(),
            config: self.config.as_ref().map(|path| path.display().to_string()),
            locked: self.list.read().locked,
            mounts: mounts.collect(),
        }
    }
}

fn role_summary(role: &RoleStatus) -> String {
    match role.remaining_seconds.filter(|_| role.state == "live") {
        Some(left) => format!("{}: {} min left", role.profile, left / 60),
        None => format!("{}: {}", role.profile, role.state),
    }
}

/// How long one answer about a login is waited for.
const LOGIN_WAIT: Duration = Duration::from_secs(2);

/// Roles that fit a line of `systemctl status`.
const MOST_IN_SUMMARY: usize = 8;

/// The commands of the control socket.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) roster: Arc<Roster>,
    pub(super) broker: Arc<Broker>,
    tokens: Arc<Broker<TokenGrant>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) codes: Arc<Codes>,
    logins: Arc<Logins>,
    orders: mpsc::Sender<Asked>,
}

impl Control {
    pub(super) fn new(roster: Arc<Roster>, shared: &Shared, orders: mpsc::Sender<Asked>) -> Self {
        Self {
            roster,
            broker: shared.broker.clone(),
            tokens: shared.tokens.clone(),
            clock: shared.clock.clone(),
            codes: shared.codes.clone(),
            logins: shared.logins.clone(),
            orders,
        }
    }

    /// The identity of this name that a role or a token of a mount needs.
    fn identity(&self, name: &str) -> Result<Arc<OidcIdentity>> {
        for mount in self.roster.select(None) {
            let service = mount.service.get();
            let identities = service.publisher().served().identities();
            if let Some(found) = identities.into_iter().find(|it| it.name == name) {
                return Ok(found);
            }
        }
        anyhow::bail!("no role and no token of this daemon has the identity {name}")
    }

    async fn login(&self, name: &str) -> Result<Response> {
        let prompt = self.logins.begin(&self.identity(name)?).await?;
        Ok(Response::Login(LoginAnswer {
            page: prompt.verification_uri,
            page_with_code: prompt.verification_uri_complete,
            code: prompt.user_code,
        }))
    }

    async fn await_login(&self, name: &str) -> Result<Response> {
        let identity = self.identity(name)?;
        match timeout(LOGIN_WAIT, self.logins.ended(&identity)).await {
            Err(_) => Ok(Response::Waiting),
            Ok(Login::Done) => Ok(Response::Done(String::new())),
            Ok(Login::Over(end)) => anyhow::bail!("{end}"),
            Ok(Login::None | Login::Waiting(_)) => anyhow::bail!("no login is under way"),
        }
    }

    async fn refresh(&self, mount: Option<&str>, profile: Option<&str>) -> Result<()> {
        anyhow::ensure!(
            !self.roster.is_locked(),
            "credmount is locked; credmount unlock fetches new sessions"
        );
        let services: Vec<_> =
            self.roster.select(mount).into_iter().map(|it| it.service.get()).collect();
        let mut chains: Vec<Arc<RoleChain>> = Vec::new();
        let mut grants: Vec<Arc<TokenGrant>> = Vec::new();
        for service in &services {
            let served = service.publisher().served();
            anyhow::ensure!(
                served.failing.is_none(),
                "the configuration is broken; credmount reload tries it again\n{}",
                self.roster.broken().unwrap_or_default()
            );
            match profile {
                None => {
                    chains.extend(served.chains());
                    grants.extend(served.tokens.clone());
                }
                Some(profile) => {
                    chains.extend(served.role(profile).map(|role| role.chain.clone()));
                    grants.extend(served.token(profile).cloned());
                }
            }
        }
        if let (Some(profile), true) = (profile, chains.is_empty() && grants.is_empty()) {
            anyhow::bail!("this mount has no role {profile}; credmount status lists its roles");
        }
        self.renew_mfa(&chains).await;
        let mut flights = JoinSet::new();
        refresh_each(&self.broker, chains, &mut flights);
        refresh_each(&self.tokens, grants, &mut flights);
        let outcomes = flights.join_all().await;
        for service in services {
            service.publisher().publish(&[]).await;
        }
        let failures: Vec<String> =
            outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }

    async fn order(&self, order: Order) -> Result<String> {
        let (answer, answered) = oneshot::channel();
        let asked = self.orders.send(Asked { order, answer }).await;
        asked.map_err(|_| anyhow::anyhow!("the daemon is stopping already"))?;
        answered.await.map_err(|_| anyhow::anyhow!("the daemon ended without an answer"))?
    }
}

/// Asks for each once: mounts that share a role share its session, and its failure.
fn refresh_each<K: Sought>(
    broker: &Arc<Broker<K>>,
    sought: Vec<Arc<K>>,
    flights: &mut JoinSet<Result<(), SessionError>>,
) {
    let sought: HashSet<Arc<K>> = sought.into_iter().collect();
    for sought in sought {
        let broker = broker.clone();
        flights.spawn(async move { broker.refresh(&sought).await });
    }
}

impl Controlled for Control {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let done = match request {
                Request::Status { mount } => {
                    return Response::Status(Box::new(self.roster.status(mount.as_deref())));
                }
                Request::Refresh { mount, profile } => {
                    let done = self.refresh(mount.as_deref(), profile.as_deref()).await;
                    done.map(|()| String::new())
                }
                Request::Mfa { device, code } => self.give_code(&device, code).await,
                Request::Unmount { mount } => self.order(Order::Unmount(mount)).await,
                Request::Metrics {} => Ok(self.roster.metrics()),
                Request::Restart {} => self.order(Order::Restart).await,
                Request::Reload {} => self.order(Order::Reload).await,
                Request::Add { mount, lease } => self.order(Order::Add(mount, lease)).await,
                Request::Remove { name } => self.order(Order::Remove(name)).await,
                Request::Lock {} => self.order(Order::Lock).await,
                Request::Unlock {} => self.order(Order::Unlock).await,
                Request::Login { identity } => match self.login(&identity).await {
                    Ok(answer) => return answer,
                    Err(error) => Err(error),
                },
                Request::AwaitLogin { identity } => match self.await_login(&identity).await {
                    Ok(answer) => return answer,
                    Err(error) => Err(error),
                },
            };
            match done {
                Ok(told) => Response::Done(told),
                Err(error) => Response::Failed(format!("{error:#}")),
            }
        })
    }
}
