//! Codes that persons give, and programs that print them.

use super::*;
use crate::clock::SystemClock;
use crate::model::{BaseCredentials, RegionName};

fn device() -> MfaDevice {
    MfaDevice::parse("arn:aws:iam::123456789012:mfa/jane").unwrap()
}

fn session(process: Option<&str>) -> MfaSession {
    MfaSession {
        base: BaseCredentials::DefaultChain,
        device: device(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: Duration::from_hours(36),
        process: process.map(ToOwned::to_owned),
    }
}

fn code(text: &str) -> MfaCode {
    MfaCode::parse(text).unwrap()
}

fn codes() -> Codes {
    Codes {
        clock: Arc::new(SystemClock),
        prompt: Mutex::new(MfaPrompt::None),
        notifies: AtomicBool::default(),
        devices: Mutex::default(),
        arrivals: watch::Sender::new(0),
    }
}

async fn cause(codes: &Codes, session: &MfaSession) -> (Cause, String) {
    let error = codes.code(session).await.unwrap_err();
    (error.cause, error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_code_of_a_person_is_given_out_once() {
    let (codes, session) = (codes(), session(None));
    assert_eq!(cause(&codes, &session).await.0, Cause::MfaCodeNeeded);
    assert!(codes.give(&device(), code("123456")));
    assert_eq!(codes.code(&session).await.unwrap(), code("123456"));
    assert_eq!(cause(&codes, &session).await.0, Cause::MfaCodeNeeded);
    assert!(!codes.give(&device(), code("123456")), "it is known to be used up");
    assert!(codes.give(&device(), code("654321")));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_aws_has_not_judged_is_given_out_again() {
    let (codes, session) = (codes(), session(None));
    codes.give(&device(), code("123456"));
    let out = codes.code(&session).await.unwrap();
    codes.unused(&session, out);
    assert_eq!(codes.code(&session).await.unwrap(), code("123456"));
}

#[tokio::test(start_paused = true)]
async fn a_code_of_a_person_is_good_for_a_minute() {
    let (codes, session) = (codes(), session(None));
    codes.give(&device(), code("123456"));
    sleep(GIVEN_LIFETIME).await;
    assert_eq!(cause(&codes, &session).await.0, Cause::MfaCodeNeeded);
    codes.give(&device(), code("123456"));
    codes.forget(&device());
    assert!(!codes.holds(&device()));
}

#[test]
fn the_next_code_is_shown_after_the_next_half_minute() {
    let at = |seconds| until_next_code(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(600), Duration::from_millis(30_500));
    assert_eq!(at(629), Duration::from_millis(1_500));
}

#[tokio::test]
async fn a_program_prints_the_code() {
    let session = session(Some("echo \"$MFA_SERIAL\" | grep -q jane && echo 'jane: 123456'"));
    assert_eq!(codes().code(&session).await.unwrap(), code("123456"));
}

/// A clock that stands just before the device shows the next code.
#[derive(Debug)]
struct BeforeNextCode;

impl Clock for BeforeNextCode {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(629_900)
    }
}

#[tokio::test]
async fn a_program_is_run_again_for_the_next_code() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    std::fs::write(&list, "111111\n111111\n222222\n222222\n222222\n").unwrap();
    let list = list.display();
    let session = session(Some(&format!("head -n 1 {list} && sed -i 1d {list}")));
    let codes = Codes { clock: Arc::new(BeforeNextCode), ..codes() };
    assert_eq!(codes.code(&session).await.unwrap(), code("111111"));
    let start = Instant::now();
    assert_eq!(codes.code(&session).await.unwrap(), code("222222"));
    assert!(start.elapsed() >= Duration::from_millis(600), "the next one was waited for");
    let (cause, text) = cause(&codes, &session).await;
    assert_eq!(cause, Cause::MfaProcessFailed);
    assert!(text.ends_with("it printed a code that was used already"), "{text}");
    assert!(!text.contains("222222"));
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_what_was_printed() {
    for (process, problem) in [
        ("echo 123456; exit 3", "it ended with exit status 3"),
        ("echo hunter2", "it printed no code of six digits"),
        ("kill -9 $$", "it ended with signal 9"),
    ] {
        let (cause, text) = cause(&codes(), &session(Some(process))).await;
        assert_eq!(cause, Cause::MfaProcessFailed);
        assert!(text.ends_with(problem) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_program_that_is_late_is_ended() {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 60 & wait"]);
    let late = program::code(command, Duration::from_millis(200)).await;
    assert_eq!(late, Err("it took more than 200ms".to_owned()));
}

#[tokio::test]
async fn a_code_of_a_person_does_not_wait_for_a_program() {
    let (codes, session) = (Arc::new(codes()), session(Some("sleep 60")));
    let asked = {
        let codes = codes.clone();
        tokio::spawn(async move { codes.code(&session).await })
    };
    tokio::task::yield_now().await;
    codes.give(&device(), code("123456"));
    assert_eq!(asked.await.unwrap().unwrap(), code("123456"));
}
