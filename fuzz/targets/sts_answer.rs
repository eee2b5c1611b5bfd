//! Whatever answers in the place of STS: a session that can be rendered, or an error of one short
//! line that repeats no secret, in bounded time.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use credmount::broker::schedule::Jitter;
use credmount::broker::{SessionError, SessionSource as _, Slot};
use credmount::clock::{Clock as _, CorrectedClock};
use credmount::model::{
    Perishable as _, ProfileName, RegionName, RoleArn, RoleHop, SessionAttributes,
};
use credmount::render::{Profile, ProfileState, credentials};
use credmount::sts::{StsClient, StsOptions};
use credmount_fuzz::answer::{Canned, answer_all};
use credmount_fuzz::{PLANTED, StoppedClock, ini, is_one_line, session};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

/// With a clock that is paused, so that pauses before a retry take no time.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
});

/// A client that has heard nothing yet.
async fn client(clock: Arc<CorrectedClock>) -> StsClient {
    let nowhere = || "/nonexistent".into();
    let options = StsOptions::new(nowhere(), nowhere(), "ann", "web1");
    StsClient::with_transport(options, clock, SharedHttpClient::new(Canned)).await
}

fuzz_target!(|text: &[u8]| {
    answer_all(text);
    let hop = RoleHop {
        role_arn: RoleArn::parse("arn:aws:iam::123456789012:role/prod").expect("an ARN"),
        sts_region: RegionName::parse("eu-west-1").expect("a region"),
        session_duration: Duration::from_hours(1),
        external_id: None,
        session_name: None,
        attributes: SessionAttributes::default(),
    };
    let signer = session();
    let clock = Arc::new(CorrectedClock::over(StoppedClock));
    let client = RUNTIME.block_on(client(clock.clone()));
    if let Err(error) = RUNTIME.block_on(client.caller_identity(&signer, &hop.sts_region)) {
        check(&error);
    }
    let outcome = RUNTIME.block_on(client.assume_role(&hop, &signer));
    let now = clock.now();
    match &outcome {
        Ok(session) => {
            assert!(session.is_valid(now), "an expired session");
            let lifetime = session.lifetime();
            assert!(lifetime <= WEEK, "{lifetime:?} is too long");
            let name = ProfileName::parse("prod").expect("a name");
            let profile = Profile { name: &name, region: None, settings: &[] };
            let state = ProfileState::Live(Arc::new(session.clone()));
            let text = credentials(&[(profile, state)], false);
            assert_eq!(ini::sections(&text).len(), 1, "{}", *text);
        }
        Err(error) => check(error),
    }
    // Whatever it was, somebody asks again, neither at once nor never.
    let mut slot = Slot::default();
    assert!(slot.start(), "the first flight");
    slot.finish(outcome, None, now, Jitter::NONE);
    let due = slot.due_at().and_then(|due| due.duration_since(now).ok());
    assert!(due.is_some_and(|due| !due.is_zero() && due <= WEEK), "{due:?}");
});

const WEEK: Duration = Duration::from_hours(7 * 24);

fn check(error: &SessionError) {
    for told in [error.to_string(), format!("{error:?}")] {
        assert!(!told.contains(PLANTED), "a secret in {told:?}");
        assert!(told.chars().count() < 1000, "{told:?} is long");
        assert!(is_one_line(&told), "{told:?}");
    }
}
