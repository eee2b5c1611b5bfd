//! Whatever answers in the place of STS: a session that can be rendered, or an error of one short
//! line that repeats no secret, in bounded time.

#![no_main]

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use credmount::broker::schedule::Jitter;
use credmount::broker::{SessionError, SessionSource as _, Slot};
use credmount::clock::{Clock as _, CorrectedClock};
use credmount::model::{ProfileName, RegionName, RoleArn, RoleHop, SessionAttributes};
use credmount::render::{Profile, ProfileState, credentials};
use credmount::sts::{StsClient, StsOptions};
use credmount_fuzz::{PLANTED, StoppedClock, ini, is_one_line, session};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    /// What is answered to every request.
    static ANSWER: RefCell<Answer> = RefCell::default();
}

/// An HTTP answer: a status and lines of header, then after an empty line the body.
#[derive(Debug, Clone, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(text: &[u8]) -> Self {
        let end = text.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(200);
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Self { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    fn response(&self) -> HttpResponse {
        let status = self.status.clamp(100, 599).try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(self.body.clone()));
        for (name, value) in &self.headers {
            // What is no header a HTTP client would not let through.
            let _ = response.headers_mut().try_append(name.clone(), value.clone());
        }
        response
    }
}

/// A transport that gives [`ANSWER`].
#[derive(Debug)]
struct Canned;

impl HttpConnector for Canned {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(ANSWER.with_borrow(Answer::response)))
    }
}

impl HttpClient for Canned {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Self)
    }
}

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
    ANSWER.set(Answer::parse(text));
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
