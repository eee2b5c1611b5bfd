//! Roles behind a person who has to sign in.

use std::sync::atomic::AtomicBool;

use tokio::sync::Notify;

use super::*;

/// Base credentials that need a sign-in. To ask costs nothing.
#[derive(Debug)]
struct Door {
    clock: Arc<TestClock>,
    open: AtomicBool,
    knocked: Notify,
    asked: AtomicUsize,
    assumed: AtomicUsize,
}

impl Door {
    fn closed() -> (Arc<Self>, Arc<Broker>) {
        let clock = Arc::new(TestClock::new());
        let door = Arc::new(Self {
            clock: clock.clone(),
            open: AtomicBool::new(false),
            knocked: Notify::new(),
            asked: AtomicUsize::new(0),
            assumed: AtomicUsize::new(0),
        });
        (door.clone(), Broker::new(door, clock, None, || Jitter::NONE))
    }

    fn sign_in(&self) {
        self.open.store(true, Ordering::Relaxed);
        self.knocked.notify_waiters();
    }
}

impl SessionSource for Door {
    fn base<'a>(
        &'a self,
        _: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            if self.open.load(Ordering::Relaxed) {
                return Ok(session_of("BASE", self.clock.now(), HOUR));
            }
            Err(SessionError::new("base", Cause::LoginNeeded, ""))
        })
    }

    fn signed_in<'a>(&'a self, _: &'a BaseCredentials) -> BoxFuture<'a, ()> {
        Box::pin(self.knocked.notified())
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        self.assumed.fetch_add(1, Ordering::Relaxed);
        let key = hop.role_arn.as_str().rsplit('/').next().unwrap();
        Box::pin(async move { Ok(session_of(key, self.clock.now(), HOUR)) })
    }
}

fn key(broker: &Broker, clock: &TestClock, chain: &Arc<RoleChain>) -> String {
    match broker.serving(chain, clock.now()) {
        Serving::Live(session, _) => session.access_key_id.clone(),
        Serving::Failing(error) => format!("{:?}", error.cause),
        Serving::Pending => "pending".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_gives_keys_at_once_also_to_roles_behind_hops() {
    let (door, broker) = Door::closed();
    let chains = [chain(&[]), chain(&["hub"]), chain(&["hub", "leaf"])];
    for chain in &chains {
        tokio::spawn(broker.clone().maintain(chain.clone()));
    }
    sleep(minutes(7)).await;
    let keys = || chains.each_ref().map(|chain| key(&broker, &door.clock, chain));
    assert_eq!(keys(), ["LoginNeeded"; 3]);
    door.sign_in();
    sleep(seconds(1)).await;
    assert_eq!(keys(), ["BASE", "hub", "leaf"]);
    assert_eq!(door.assumed.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_over_and_over_while_a_sign_in_is_awaited() {
    let (door, broker) = Door::closed();
    let behind = chain(&["hub", "leaf"]);
    tokio::spawn(broker.clone().maintain(behind.clone()));
    for _ in 0..3600 {
        broker.settled(&behind, DEADLINE).await;
        sleep(seconds(1)).await;
    }
    let asked = door.asked.load(Ordering::Relaxed);
    assert!((5..40).contains(&asked), "asked {asked} times in an hour");
    assert_eq!(door.assumed.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_role_asks_the_hop_before_it_again_though_that_is_not_due() {
    let (door, broker) = Door::closed();
    let behind = chain(&["hub", "leaf"]);
    assert!(broker.refresh(&behind).await.is_err());
    // As a person does who has signed in and runs `credmount refresh`.
    door.open.store(true, Ordering::Relaxed);
    broker.refresh(&behind).await.unwrap();
    assert_eq!(key(&broker, &door.clock, &behind), "leaf");
}
