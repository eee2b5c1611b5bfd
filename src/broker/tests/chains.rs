//! Role chains, and base credentials served as they are.

use super::*;

#[tokio::test(start_paused = true)]
async fn hops_of_a_chain_have_sessions_of_their_own_shared_by_the_roles_behind_them() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    let (left, right) = (chain(&["hub", "left"]), chain(&["hub", "right"]));
    tokio::join!(scene.broker.settled(&left, DEADLINE), scene.broker.settled(&right, DEADLINE));
    assert_eq!(scene.sts.calls_of("hub"), 1);
    assert_eq!((scene.sts.calls_of("left"), scene.sts.calls_of("right")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_hop_names_the_hop_and_is_retried() {
    let scene = Scene::new(&[Answer::Fail(Cause::AccessDenied), Answer::Session(HOUR)]);
    let behind = chain(&["hub", "left"]);
    tokio::spawn(scene.broker.clone().maintain(behind.clone()));
    sleep(seconds(5)).await;
    match scene.broker.serving(&behind, scene.clock.now()) {
        Serving::Failing(error) => assert_eq!((&*error.subject, error.on_the_way), ("hub", true)),
        other => panic!("{other:?}"),
    }
    let hub = Arc::new(behind.parent().unwrap());
    match scene.broker.serving(&hub, scene.clock.now()) {
        Serving::Failing(error) => assert!(!error.on_the_way),
        other => panic!("{other:?}"),
    }
    sleep(minutes(2)).await;
    assert!(matches!(scene.broker.serving(&behind, scene.clock.now()), Serving::Live(..)));
}

#[tokio::test(start_paused = true)]
async fn the_delay_of_a_hop_names_the_hop() {
    let scene = Scene::new(&[Answer::Hang]);
    let behind = chain(&["hub", "middle", "left"]);
    scene.broker.settled(&behind, DEADLINE).await;
    match scene.broker.serving(&behind, scene.clock.now()) {
        Serving::Failing(error) => {
            assert_eq!((error.cause, error.on_the_way), (Cause::TimedOut, true));
            assert!(error.subject.ends_with(":role/hub"), "{}", error.subject);
        }
        other => panic!("{other:?}"),
    }
}

/// A source that caches (`credential_process`, SSO) hands out the keys it handed out before.
#[tokio::test(start_paused = true)]
async fn unchanged_base_keys_are_served_to_their_end_without_making_readers_wait() {
    #[derive(Debug)]
    struct Unchanging(StsSession, Mutex<u32>);
    impl SessionSource for Unchanging {
        fn base<'a>(
            &'a self,
            _: &'a BaseCredentials,
        ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
            *self.1.lock() += 1;
            Box::pin(async { Ok(self.0.clone()) })
        }
        fn assume_role<'a>(
            &'a self,
            _: &'a RoleHop,
            _: &'a StsSession,
        ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
            unreachable!("the chain has no hop")
        }
    }
    let clock = Arc::new(TestClock::new());
    let keys = session_of("SAME", clock.now(), HOUR);
    let source = Arc::new(Unchanging(keys, Mutex::new(0)));
    let broker = Broker::new(source.clone(), clock.clone(), None, || Jitter::NONE);
    let base = BaseCredentials::Profile(ProfileName::parse("sso").unwrap().to_string());
    let chain = Arc::new(RoleChain { base, hops: vec![] });
    tokio::spawn(broker.clone().maintain(chain.clone()));
    for _ in 0..3590 {
        sleep(seconds(1)).await;
        assert!(matches!(broker.serving(&chain, clock.now()), Serving::Live(..)));
    }
    let asked = *source.1.lock();
    assert!(asked < 60, "asked {asked} times");
    sleep(seconds(20)).await;
    assert!(!matches!(broker.serving(&chain, clock.now()), Serving::Live(..)));
}
