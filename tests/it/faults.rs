//! STS in trouble, seen from a reader.

mod skew;
mod table;

use std::fs;
use std::time::{Duration, SystemTime};

use crate::emulator::Fault;
use crate::support::daemon::arn;
use crate::support::wait::now;
use crate::support::{Daemon, Scene, eventually, fuse_available, ini_value};

/// Each fault on the way to the first session, and what a reader is told.
#[test]
fn every_fault_is_told_and_passes_by_itself() {
    if !fuse_available() {
        return;
    }
    let cases = [
        (Fault::Throttle, "AWS throttles AssumeRole calls"),
        (Fault::ServerError { status: 500 }, "AWS STS is unavailable"),
        (Fault::DropConnection, "AWS STS cannot be reached"),
        (Fault::DropMidAnswer, "AWS STS cannot be reached"),
        (Fault::MalformedXml, "the answer of AWS STS was unusable"),
        (Fault::TruncatedXml, "the answer of AWS STS was unusable"),
        (Fault::HugeAnswer { bytes: 50 << 20 }, "the answer of AWS STS was unusable"),
        (Fault::ExpiredSession, "the answer of AWS STS was unusable"),
        (Fault::Hang, "no answer came in time"),
    ];
    for (fault, reason) in cases {
        let scene = Scene::new();
        scene.emulator.set_fault(fault.for_role("prod"));
        let daemon = scene.mount(&["--role", &arn("prod"), "--open-deadline", "2s"]);
        // Until its attempts are used up, all that can be said is that no answer came in time.
        eventually(reason, || {
            let text = daemon.credentials();
            assert_eq!(ini_value(&text, "prod", "aws_access_key_id"), None);
            text.contains(reason)
        });
        scene.emulator.clear_faults();
        eventually("the role to come back", || daemon.credentials().contains("aws_session_token"));
    }
}

#[test]
fn a_hanging_role_costs_the_shared_file_one_deadline_and_the_rest_nothing() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon =
        scene.mount(&["--role", &arn("prod"), "--role", &arn("dev"), "--open-deadline", "3s"]);
    // Both are due at once, and one of them hangs.
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(2)));
    daemon.refresh();
    scene.emulator.set_fault(Fault::Hang.for_role("prod"));
    scene.emulator.set_session_lifetime(None);
    eventually("the session to fall below its floor", || state(&daemon) == "pending");

    for name in ["credmount/process/dev.json", "credmount/errors/dev", "config"] {
        assert!(is_answered_at_once(&daemon, name), "{name} waited for another role");
    }
    daemon.credentials();
    eventually("the session to be over", || state(&daemon) == "failing");
    assert!(is_answered_at_once(&daemon, "credentials"), "the deadline was paid twice");
    let text = daemon.credentials();
    assert!(text.contains("no answer came in time"));
    assert!(ini_value(&text, "dev", "aws_access_key_id").is_some());
}

/// Whether a file is read without a wait for the deadline of 3 s. On a busy machine one read may take
/// as long for other reasons, but hardly one after the other.
fn is_answered_at_once(daemon: &Daemon<'_>, name: &str) -> bool {
    (0..5).any(|_| {
        let start = now();
        fs::read_to_string(daemon.file(name)).unwrap();
        start.elapsed() < Duration::from_secs(3)
    })
}

fn state(daemon: &Daemon<'_>) -> String {
    daemon.status()["roles"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn expired_keys_are_never_served_and_valid_ones_to_their_end() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(5)));
    let daemon = scene.mount_prod();
    scene.emulator.set_fault(Fault::ServerError { status: 500 });
    let (mut live, mut failing) = (0, 0);
    while failing < 20 {
        #[expect(clippy::disallowed_methods, reason = "the reader's own clock")]
        let opened = SystemTime::now();
        let text = daemon.credentials();
        match ini_value(&text, "prod", "x_security_token_expires") {
            Some(expires) => {
                let expires = humantime::parse_rfc3339(&expires).unwrap();
                assert!(opened < expires, "expired keys were served");
                assert_eq!(failing, 0, "keys came back while STS fails");
                live += 1;
            }
            None => failing += 1,
        }
        std::thread::yield_now();
    }
    assert!(live > 0, "valid keys were not served");
    scene.emulator.clear_faults();
    eventually("keys again", || daemon.credentials().contains("aws_session_token"));
}

#[test]
fn a_hundred_readers_of_a_session_that_is_due_cause_one_call() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(3)));
    let daemon = scene.mount_prod();
    scene.emulator.set_session_lifetime(None);
    scene.emulator.set_fault(Fault::Hang.for_role("prod"));
    eventually("the session to fall below its floor", || state(&daemon) == "pending");
    let texts: Vec<String> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..100).map(|_| scope.spawn(|| daemon.credentials())).collect();
        scene.emulator.clear_faults();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(texts.iter().all(|text| text.contains("aws_session_token")));
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 2);
}

#[test]
fn sts_is_called_once_per_renewal_however_many_opens_there_are() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    for _ in 0..2000 {
        daemon.credentials();
    }
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 1);
}
