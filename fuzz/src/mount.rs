//! A mount as the daemon serves it, but for its kernel: three roles, of which one fails, over a
//! source that answers at once.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use credmount::broker::schedule::Jitter;
use credmount::broker::{BoxFuture, Broker, Cause, NoTokens, SessionError, SessionSource};
use credmount::clock::Clock;
use credmount::config::{Flags, Selection};
use credmount::fuse::{Connections, Mounted, Shape};
use credmount::model::{BaseCredentials, Caller, RoleHop, StsSession, TokenGrant};
use credmount::open::{
    CurrentService, Gate, IdentifyCaller, LocateMount, MountLife, OpenOptions, OpenService,
    Requester, Traffic,
};
use credmount::policy::Policy;
use credmount::publish::{Publisher, Served};
use credmount::render::ReaderPath;
use credmount::tree::Tree;
use tokio::runtime::Handle;

use crate::settings::{Texts, resolved};
use crate::{StoppedClock, session};

/// Sessions without a network; the role `dev` has none.
#[derive(Debug)]
struct Source;

impl SessionSource for Source {
    fn base<'a>(
        &'a self,
        _base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async { Ok(session()) })
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        let arn = hop.role_arn.as_str();
        Box::pin(async move {
            tokio::task::yield_now().await;
            if arn.ends_with("/dev") {
                return Err(SessionError::new(arn, Cause::AccessDenied, "it is so"));
            }
            Ok(session())
        })
    }
}

/// Every caller is known by the kernel's words only, and sees the mount nowhere.
#[derive(Debug)]
struct Stranger;

impl IdentifyCaller for Stranger {
    fn identify(&self, requester: Requester) -> Caller {
        Caller::unknown(requester.uid, requester.gid, requester.tid)
    }
}

impl LocateMount for Stranger {
    fn seen_by(&self, _tid: u32) -> Option<ReaderPath> {
        None
    }
}

/// Serves a mount whose kernel is at the other end of `tree`. With `rules` its readers are looked
/// at one by one, and those of which nothing is known get nothing.
///
/// # Panics
/// If the system has no thread or descriptor left.
pub fn serve(tree: OwnedFd, keys: Option<OwnedFd>, rules: bool, shape: Shape) -> Mounted {
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock);
    let settings = resolved(
        Texts { own: if rules { RULED } else { PLAIN }, ..Texts::default() },
        &Flags::default(),
        &BTreeMap::from([("HOME".to_owned(), "/home/jane".to_owned())]),
        Selection::Configured,
        &[],
    );
    let mut settings = settings.expect("a configuration that is right");
    let mount = settings.mounts.remove(0);
    let policy = Policy::new(mount.allow, rustix::process::geteuid().as_raw());
    let served = Served {
        roles: mount.roles,
        default: mount.default,
        live_only: mount.live_only,
        include: mount.config_include,
        endpoint: mount.endpoint.is_some(),
        roleless: false,
        tokens: mount.tokens,
        views: policy.views().to_vec(),
        failing: None,
    };
    let contents = served.contents();
    let broker = Broker::new(Arc::new(Source), clock.clone(), None, || Jitter::NONE);
    let no_tokens = Arc::new(NoTokens);
    let tokens = Broker::<TokenGrant>::asking(no_tokens, clock.clone(), None, || Jitter::NONE);
    let virtual_tree = Arc::new(Tree::new(&contents, clock.now(), 1));
    let life = MountLife::new(clock.now());
    let publisher = Publisher::new(
        served,
        broker.clone(),
        tokens,
        clock.clone(),
        virtual_tree.clone(),
        life.closed.clone(),
    );
    let options = OpenOptions {
        name: Some("m".to_owned()),
        mountpoint: "/srv/m".to_owned(),
        deadline: Duration::from_secs(1),
        reader_path: None,
        fallback_path: ReaderPath::parse("/srv/m").expect("a path"),
        log_file: None,
        endpoint_token: None,
    };
    let gate = Gate {
        label: "m".to_owned(),
        policy,
        identify: Arc::new(Stranger),
        recorder: Arc::default(),
        metrics: life.metrics.clone(),
        calls: Arc::default(),
    };
    let service = OpenService::new(
        virtual_tree,
        broker,
        publisher,
        clock.clone(),
        options,
        Arc::new(Stranger),
        life,
        gate,
        Traffic::new(8),
    );
    let (service, runtime) = (CurrentService::new(service), Handle::current());
    let connections = Connections { tree, keys };
    Mounted::serve(connections, shape, &service, clock, 1, &runtime).expect("a session")
}

const PLAIN: &str = "\
[roles.prod]
role_arn = 'arn:aws:iam::123456789012:role/prod'
[roles.dev]
role_arn = 'arn:aws:iam::123456789012:role/dev'
[mounts.m]
path = '/srv/m'
default = 'prod'
";

const RULED: &str = "\
[roles.prod]
role_arn = 'arn:aws:iam::123456789012:role/prod'
[roles.dev]
role_arn = 'arn:aws:iam::123456789012:role/dev'
[mounts.m]
path = '/srv/m'
allow = [{ exe = '/usr/bin/x', roles = ['dev'] }, { uid = 1000, roles = ['prod'] }]
";
