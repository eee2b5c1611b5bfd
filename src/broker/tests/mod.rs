//! Scenarios in paused time: one knob moves sleeps and expirations together.

mod chains;
mod failures;
mod faults;
mod fleet;
mod kept;
mod logins;
mod mfa;
mod renewal;
mod trouble;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::schedule::Jitter;
use super::testing::{TestClock, session_of};
use super::{BoxFuture, Broker, Cause, Serving, SessionError, SessionSource};
use crate::clock::{Clock, SystemClock};
use crate::model::{
    BaseCredentials, Perishable as _, ProfileName, RegionName, RoleArn, RoleChain, RoleHop,
    SessionAttributes, StsSession,
};

/// What the scripted STS does with one call.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Session(Duration),
    Fail(Cause),
    /// With what it says of when to ask again.
    FailFor(Cause, Option<Duration>),
    Hang,
    Panic,
}

/// An STS that takes a second for each answer, follows a script, then repeats its last line.
#[derive(Debug)]
struct ScriptedSts {
    clock: Arc<TestClock>,
    script: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<(String, Instant)>>,
}

impl ScriptedSts {
    fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    fn calls_of(&self, subject: &str) -> usize {
        self.calls.lock().iter().filter(|(called, _)| called == subject).count()
    }

    fn now_answers(&self, script: &[Answer]) {
        *self.script.lock() = script.iter().copied().collect();
    }

    async fn answer(&self, subject: &str) -> Result<StsSession, SessionError> {
        self.calls.lock().push((subject.to_owned(), Instant::now()));
        let number = self.calls();
        let answer = {
            let mut script = self.script.lock();
            if script.len() > 1 { script.pop_front().unwrap() } else { script[0] }
        };
        sleep(Duration::from_secs(1)).await;
        match answer {
            Answer::Session(lifetime) => {
                Ok(session_of(&format!("KEY{number}"), self.clock.now(), lifetime))
            }
            Answer::Fail(cause) => Err(SessionError::new(subject, cause, "")),
            Answer::FailFor(cause, retry_after) => {
                Err(SessionError::new(subject, cause, "").with_retry_after(retry_after))
            }
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("scripted"),
        }
    }
}

impl SessionSource for ScriptedSts {
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async move {
            match base {
                BaseCredentials::Profile(_) => self.answer("base").await,
                _ => Ok(session_of("BASE", self.clock.now(), HOUR)),
            }
        })
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(
            async move { self.answer(hop.role_arn.as_str().rsplit('/').next().unwrap()).await },
        )
    }
}

struct Scene {
    sts: Arc<ScriptedSts>,
    clock: Arc<TestClock>,
    broker: Arc<Broker>,
    chain: Arc<RoleChain>,
}

impl Scene {
    fn new(script: &[Answer]) -> Self {
        Self::with_min_ttl(script, None)
    }

    fn with_min_ttl(script: &[Answer], min_ttl: Option<Duration>) -> Self {
        let clock = Arc::new(TestClock::new());
        let script = Mutex::new(script.iter().copied().collect());
        let sts = Arc::new(ScriptedSts { clock: clock.clone(), script, calls: Mutex::default() });
        let broker = Broker::new(sts.clone(), clock.clone(), min_ttl, || Jitter::NONE);
        Self { sts, clock, broker, chain: chain(&["prod"]) }
    }

    fn maintained(script: &[Answer]) -> Self {
        let scene = Self::new(script);
        tokio::spawn(scene.broker.clone().maintain(scene.chain.clone()));
        scene
    }

    /// What an open gets that waits up to ten seconds.
    async fn open(&self) -> String {
        self.broker.settled(&self.chain, DEADLINE).await;
        self.peek()
    }

    fn peek(&self) -> String {
        match self.broker.serving(&self.chain, self.clock.now()) {
            Serving::Live(session, _) => session.access_key_id.clone(),
            Serving::Failing(error) => format!("{:?}", error.cause),
            Serving::Pending => "pending".to_owned(),
        }
    }
}

fn chain(roles: &[&str]) -> Arc<RoleChain> {
    let hop = |name: &&str| RoleHop {
        role_arn: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: HOUR,
        external_id: None,
        session_name: None,
        attributes: SessionAttributes::default(),
    };
    Arc::new(RoleChain {
        base: BaseCredentials::DefaultChain,
        hops: roles.iter().map(hop).collect(),
    })
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

const HOUR: Duration = Duration::from_hours(1);
const DEADLINE: Duration = Duration::from_secs(10);
