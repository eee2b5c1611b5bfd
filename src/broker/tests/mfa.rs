//! Sessions with MFA: shared by the roles behind a device, and renewed by a person.

use super::*;
use crate::model::{MfaDevice, MfaSession};

/// The chain of a role behind a device, as [`chain`] has it.
fn behind(process: Option<&str>, roles: &[&str]) -> Arc<RoleChain> {
    let session = MfaSession {
        base: BaseCredentials::DefaultChain,
        device: MfaDevice::parse("arn:aws:iam::123456789012:mfa/jane").unwrap(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: HOUR * 36,
        process: process.map(ToOwned::to_owned),
    };
    let base = BaseCredentials::Mfa(Box::new(session));
    Arc::new(RoleChain { base, hops: chain(roles).hops.clone() })
}

/// A person, who gives a code or not, and an STS that gives what it is asked for.
#[derive(Debug)]
struct Person {
    clock: Arc<TestClock>,
    codes: Mutex<u32>,
    asked: AtomicUsize,
    assumed: AtomicUsize,
}

impl SessionSource for Person {
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        let BaseCredentials::Mfa(session) = base else { panic!("{base:?}") };
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let mut codes = self.codes.lock();
            let Some(left) = codes.checked_sub(1) else {
                return Err(SessionError::new(session.subject(), Cause::MfaCodeNeeded, ""));
            };
            *codes = left;
            Ok(session_of("MFA", self.clock.now(), session.session_duration))
        })
    }

    fn assume_role<'a>(
        &'a self,
        _: &'a RoleHop,
        with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        assert_eq!(with.access_key_id, "MFA");
        assert!(with.is_valid(self.clock.now()));
        let number = self.assumed.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Ok(session_of(&format!("KEY{number}"), self.clock.now(), HOUR)) })
    }
}

fn person(codes: u32) -> (Arc<Person>, Arc<Broker>) {
    let clock = Arc::new(TestClock::new());
    let (codes, asked, assumed) = (Mutex::new(codes), AtomicUsize::new(0), AtomicUsize::new(0));
    let person = Arc::new(Person { clock: clock.clone(), codes, asked, assumed });
    (person.clone(), Broker::new(person, clock, None, || Jitter::NONE))
}

#[tokio::test(start_paused = true)]
async fn one_code_does_for_all_roles_behind_a_device_for_36_hours_and_then_valid_keys_are_served() {
    let (person, broker) = person(1);
    let roles: Vec<_> =
        ["prod", "dev", "test"].map(|role| behind(None, &[role])).into_iter().collect();
    for role in &roles {
        tokio::spawn(broker.clone().maintain(role.clone()));
    }
    let is_live = |role: &Arc<RoleChain>| {
        matches!(broker.serving(role, person.clock.now()), Serving::Live(..))
    };
    sleep(seconds(5)).await;
    for _ in 0..(34 * 60 - 1) {
        assert!(roles.iter().all(is_live));
        assert_eq!(
            person.asked.load(Ordering::Relaxed),
            1,
            "a person is asked in time, not before"
        );
        sleep(minutes(1)).await;
    }
    // In the last two hours a code is asked for, and meanwhile everything goes on.
    for _ in 0..119 {
        sleep(minutes(1)).await;
        assert!(roles.iter().all(is_live));
    }
    let parent = Arc::new(roles[0].mfa_chain().unwrap());
    let failure = broker.status(&parent).failure.expect("a code is needed");
    assert_eq!(failure.error.cause, Cause::MfaCodeNeeded);
    // The keys of the roles are served to their end.
    let left = |role| broker.status(role).session.unwrap().remaining(person.clock.now());
    let longest = roles.iter().map(left).max().unwrap();
    assert!(longest > minutes(20), "{longest:?}");
    sleep(longest - seconds(1)).await;
    assert!(roles.iter().any(is_live));
    sleep(minutes(2)).await;
    for role in &roles {
        let serving = broker.serving(role, person.clock.now());
        let Serving::Failing(error) = serving else { panic!("{serving:?}") };
        assert_eq!(error.cause, Cause::MfaCodeNeeded);
    }
    *person.codes.lock() = 1;
    broker.refresh(&parent).await.unwrap();
    for role in &roles {
        broker.refresh(role).await.unwrap();
        assert!(is_live(role));
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_missing_makes_no_storm() {
    let (person, broker) = person(0);
    let roles: Vec<_> = (0..20).map(|n| behind(None, &[&format!("role{n}")])).collect();
    for role in &roles {
        tokio::spawn(broker.clone().maintain(role.clone()));
    }
    for _ in 0..600 {
        let reader = &roles[fastrand::usize(..roles.len())];
        broker.settled(reader, DEADLINE).await;
        assert!(matches!(broker.serving(reader, person.clock.now()), Serving::Failing(_)));
        sleep(seconds(6)).await;
    }
    assert_eq!(person.assumed.load(Ordering::Relaxed), 0, "AWS is not asked");
    let asked = person.asked.load(Ordering::Relaxed);
    assert!(asked < 20, "in an hour the code was asked for {asked} times");
}

#[tokio::test(start_paused = true)]
async fn with_a_program_the_session_is_renewed_at_half_of_its_life() {
    let (person, broker) = person(9);
    tokio::spawn(broker.clone().maintain(behind(Some("ykman"), &["prod"])));
    sleep(HOUR * 17).await;
    assert_eq!(person.asked.load(Ordering::Relaxed), 1);
    sleep(HOUR * 3).await;
    assert_eq!(person.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn sessions_with_mfa_count_as_calls() {
    let (person, broker) = person(9);
    broker.limit_calls(std::num::NonZeroU8::new(1));
    let start = Instant::now();
    broker.settled(&behind(None, &["prod"]), DEADLINE).await;
    assert_eq!(person.assumed.load(Ordering::Relaxed), 1);
    assert!(start.elapsed() >= seconds(1), "GetSessionToken and AssumeRole in one second");
}
