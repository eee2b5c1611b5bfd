//! What tests of publishing and of opens share: an STS that does as it is told, and a mount of two
//! roles without a kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Publisher, Served};
use crate::broker::schedule::Jitter;
use crate::broker::testing::{TestClock, no_tokens, session_of};
use crate::broker::{BoxFuture, Broker, Cause, SessionError, SessionSource};
use crate::clock::Clock;
use crate::model::{
    BaseCredentials, ProfileName, RegionName, Role, RoleArn, RoleChain, RoleHop, Secret,
    SessionAttributes, StsSession,
};
use crate::tree::{Fh, FileId, Open, Told, Tree, View};

/// What STS does with each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A session of one hour, with a token of so many bytes.
    Session(usize),
    Fail,
    Hang,
}

/// A wall clock that follows tokio's paused time, and panics once when it is told to.
#[derive(Debug)]
pub(crate) struct FaultyClock {
    pub(crate) inner: TestClock,
    pub(crate) panics: AtomicBool,
}

impl Clock for FaultyClock {
    fn now(&self) -> SystemTime {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "scripted");
        self.inner.now()
    }
}

#[derive(Debug)]
struct Sts {
    clock: Arc<FaultyClock>,
    answer: Arc<Mutex<Answer>>,
    calls: AtomicUsize,
}

impl Sts {
    async fn session(&self) -> Result<StsSession, SessionError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = *self.answer.lock();
        match answer {
            Answer::Session(bytes) => Ok(StsSession {
                session_token: Some(Secret::new("t".repeat(bytes))),
                ..session_of(&format!("ASIA{number}"), self.clock.now(), Duration::from_hours(1))
            }),
            Answer::Fail => Err(SessionError::new("", Cause::AccessDenied, "")),
            Answer::Hang => std::future::pending().await,
        }
    }
}

impl SessionSource for Sts {
    fn base<'a>(
        &'a self,
        _base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async { Ok(session_of("BASE", self.clock.inner.now(), Duration::from_hours(12))) })
    }

    fn assume_role<'a>(
        &'a self,
        _hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(self.session())
    }
}

/// The roles `prod` and `dev` and what serves them.
#[derive(Debug)]
pub(crate) struct Roles {
    pub(crate) clock: Arc<FaultyClock>,
    pub(crate) answer: Arc<Mutex<Answer>>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) prod: Arc<RoleChain>,
    pub(crate) dev: Arc<RoleChain>,
}

impl Roles {
    /// The first daemon of the mount.
    pub(crate) fn new() -> Self {
        Self::in_life(1, &Told::default())
    }

    /// The one after a daemon that has told this.
    pub(crate) fn after(told: &Told) -> Self {
        Self::in_life(2, told)
    }

    fn in_life(epoch: u32, told: &Told) -> Self {
        let clock = Arc::new(FaultyClock { inner: TestClock::new(), panics: false.into() });
        let answer = Arc::new(Mutex::new(Answer::Session(100)));
        let (prod, dev) = (chain("prod"), chain("dev"));
        let served = Served {
            roles: vec![role("prod", &prod), role("dev", &dev)],
            endpoint: true,
            ..Served::default()
        };
        let sts = Sts { clock: clock.clone(), answer: answer.clone(), calls: 0.into() };
        let broker = Broker::new(Arc::new(sts), clock.clone(), None, || Jitter::NONE);
        let now = clock.now();
        let tree = Tree::new(&served.contents(), now, epoch).resuming(told);
        let tree = Arc::new(tree);
        let publisher = Publisher::new(
            served,
            broker.clone(),
            no_tokens(clock.clone()),
            clock.clone(),
            tree.clone(),
            Arc::default(),
        );
        Self { clock, answer, broker, tree, publisher, prod, dev }
    }

    /// Fetches the sessions of both roles and publishes what there is then.
    pub(crate) async fn fetch(&self) {
        for chain in [&self.prod, &self.dev] {
            let _ = self.broker.refresh(chain).await;
        }
        self.publisher.publish(&[]).await;
    }

    /// What is published of a file, if it may be served now.
    pub(crate) fn published(&self, file: FileId) -> Option<String> {
        match self.tree.open(file, View::ALL, self.clock.now()) {
            Open::Ready(fh) => Some(self.read(fh)),
            Open::Due => None,
        }
    }

    /// All that a handle pins. Releases it.
    pub(crate) fn read(&self, fh: Fh) -> String {
        let read = self.tree.read(fh, 0, u32::MAX).expect("a handle");
        let text = String::from_utf8(read.bytes().to_vec()).expect("UTF-8");
        self.tree.release(fh);
        text
    }
}

fn role(name: &str, chain: &Arc<RoleChain>) -> Role {
    Role {
        profile: ProfileName::parse(name).expect("a name"),
        chain: chain.clone(),
        region: None,
        settings: Vec::new(),
    }
}

fn chain(name: &str) -> Arc<RoleChain> {
    let hop = RoleHop {
        role_arn: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}"))
            .expect("an ARN"),
        sts_region: RegionName::parse("eu-west-1").expect("a region"),
        session_duration: Duration::from_hours(1),
        external_id: None,
        session_name: None,
        attributes: SessionAttributes::default(),
    };
    Arc::new(RoleChain { base: BaseCredentials::DefaultChain, hops: vec![hop] })
}
