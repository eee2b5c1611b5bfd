//! README's table of failures, row by row, at a real mount: what a reader gets, and what `status`,
//! `errors/NAME`, log, metrics and audit say.

use std::fs;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::emulator::{Emulator, Fault, Options, RoleRules};
use crate::support::daemon::arn;
use crate::support::fleet::Fleet;
use crate::support::records::records_of;
use crate::support::{Scene, eventually, free_address, ini_value, wait_for};

/// A mount with the role that fails and one that does not.
const CONFIG: &str = r#"
region = "eu-west-1"
open_deadline = "2s"
audit_log = "ROOT/audit.jsonl"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[roles.dev]
role_arn = "arn:aws:iam::123456789012:role/dev"
[mounts.live]
path = "ROOT/live"
roles = ["prod", "dev"]
"#;

/// How a failure is told.
struct Telling {
    /// What readers are told.
    reason: &'static str,
    /// The kind, in metrics and audit.
    cause: &'static str,
    /// What `status` and the log say beyond that.
    detail: &'static str,
    /// Whether it got as far as AssumeRole, which is recorded and counted.
    is_called: bool,
}

const fn told(reason: &'static str, cause: &'static str, detail: &'static str) -> Telling {
    Telling { reason, cause, detail, is_called: true }
}

/// A served scene.
struct Rig<'a> {
    scene: &'a Scene,
    fleet: Fleet<'a>,
}

impl<'a> Rig<'a> {
    fn serve(scene: &'a Scene) -> Self {
        Self { scene, fleet: scene.serve(CONFIG) }
    }

    /// Where nothing hangs, and every open is to wait for its answer.
    fn serve_patiently(scene: &'a Scene) -> Self {
        let config = CONFIG.replace("open_deadline = \"2s\"", "open_deadline = \"50s\"");
        Self { scene, fleet: scene.serve(&config) }
    }

    fn key(&self, role: &str) -> Option<String> {
        ini_value(&self.fleet.read("live", "credentials"), role, "aws_access_key_id")
    }

    fn role(&self) -> Value {
        self.fleet.status()[0].1["roles"][0].clone()
    }

    fn prometheus(&self) -> String {
        let output = self.scene.run(&["status", "--prometheus"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        let status = self.fleet.status();
        fs::read_to_string(status[0].1["log_file"].as_str().expect("a log")).unwrap()
    }

    /// Results of the calls for `prod` so far, as the audit log has them.
    fn recorded(&self) -> Vec<String> {
        let calls = records_of(&self.scene.path("audit.jsonl"), "assume_role");
        let of_prod = calls.iter().filter(|call| call["role_arn"] == arn("prod").as_str());
        of_prod.map(|call| call["result"].as_str().unwrap().to_owned()).collect()
    }

    /// Asks for new sessions; whether that works is told elsewhere.
    fn refresh(&self) {
        self.scene.run(&["refresh", self.scene.path("live").to_str().unwrap()]);
    }

    /// In the section of the profile and in `errors/NAME`.
    #[track_caller]
    fn readers_are_told(&self, reason: &str) {
        eventually(reason, || {
            let error = self.fleet.read("live", "credmount/errors/prod");
            let text = self.fleet.read("live", "credentials");
            let section = ini_value(&text, "prod", "credential_process");
            error.contains(reason) && section.is_some_and(|it| it.contains(reason))
        });
        assert_eq!(self.key("prod"), None);
    }

    /// Every place tells of the failure of `prod`, and `dev` is not touched by it.
    #[track_caller]
    fn tells(&self, telling: &Telling) {
        let Telling { reason, cause, detail, is_called } = telling;
        // Before its attempts are used up, all that can be said is that no answer came in time.
        self.readers_are_told(reason);
        assert!(self.key("dev").is_some(), "another role fails too");
        let role = wait_for("status to tell the failure", || {
            let role = self.role();
            let told = role["last_error"].as_str().is_some_and(|error| error.contains(detail));
            (told && role["next_attempt"].is_string()).then_some(role)
        });
        assert_eq!(role["state"], "failing");
        let log = self.log();
        let is_told = |line: &str| line.contains("WARN") && line.contains(detail);
        assert!(log.lines().any(is_told), "{detail} is not in the log: {log}");
        let text = self.prometheus();
        let sample = |name: &str, label: &str| {
            let of_prod = |line: &&str| {
                line.starts_with(name) && line.contains("role/prod\"") && line.contains(label)
            };
            text.lines().find(of_prod).map(|line| line.rsplit(' ').next().unwrap().to_owned())
        };
        let left = sample("credmount_session_remaining_seconds", "profile=\"prod\"");
        assert_eq!(left.as_deref(), Some("0"));
        let counted = sample("credmount_renewals_total", &format!("result=\"{cause}\""));
        assert_eq!(counted.is_some(), *is_called, "{text}");
        // Nobody waits for the record of a call.
        let is_recorded = || self.recorded().iter().any(|result| result == cause);
        eventually("the call to be recorded", || is_recorded() || !is_called);
        assert_eq!(is_recorded(), *is_called);
    }

    /// Until the session of `prod` is over, its keys are served; and never after.
    #[track_caller]
    fn serves_old_keys_to_their_end(&self) {
        let mut live = 0;
        loop {
            let opened = self.scene.emulator.now();
            let Some(key) = self.key("prod") else { break };
            let session = self.scene.emulator.session(&key).expect("a session of the emulator");
            assert!(opened < session.expiration, "expired keys were served");
            live += 1;
        }
        assert!(live > 0, "valid keys were not served");
    }

    /// The role comes back: by itself, or when somebody who has mended it says so.
    #[track_caller]
    fn recovers(&self, mended: bool) {
        self.scene.emulator.set_session_lifetime(None);
        self.scene.emulator.clear_faults();
        if mended {
            self.refresh();
        }
        eventually("the role to come back", || self.key("prod").is_some());
        assert_eq!(self.fleet.read("live", "credmount/errors/prod").trim(), "");
        assert_eq!(self.role()["last_error"], Value::Null);
    }
}

/// A role that has worked meets `fault`: its keys are served to their end, then every place tells
/// why there are none, and it comes back.
#[track_caller]
fn after_it_worked(fault: Fault, telling: &Telling, mended: bool) {
    let Some(scene) = Scene::mountable() else { return };
    let rig = Rig::serve(&scene);
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(5)));
    rig.refresh();
    scene.emulator.set_fault(fault.for_role("prod"));
    scene.emulator.set_session_lifetime(None);
    rig.serves_old_keys_to_their_end();
    rig.refresh_dev();
    rig.tells(telling);
    rig.recovers(mended);
}

impl Rig<'_> {
    /// The other role gets a session that lasts.
    fn refresh_dev(&self) {
        eventually("the other role to have a session", || self.key("dev").is_some());
    }
}

#[test]
fn a_server_error() {
    let fault = Fault::ServerError { status: 500 };
    let telling = told("AWS STS is unavailable", "ServiceUnavailable", "InternalFailure");
    after_it_worked(fault, &telling, true);
}

#[test]
fn throttling() {
    let telling = told("AWS throttles AssumeRole calls", "Throttled", "Rate exceeded");
    after_it_worked(Fault::Throttle, &telling, true);
}

#[test]
fn throttling_that_says_when_to_come_back() {
    let telling = told("AWS throttles AssumeRole calls", "Throttled", "Rate exceeded");
    after_it_worked(Fault::ThrottleRetryAfter { seconds: 7 }, &telling, true);
}

#[test]
fn unavailability_that_says_when_to_come_back() {
    let telling = told("AWS STS is unavailable", "ServiceUnavailable", "ServiceUnavailable: ");
    after_it_worked(Fault::UnavailableRetryAfter { seconds: 7 }, &telling, true);
}

#[test]
fn a_denial_after_it_worked() {
    let telling = told("AWS denied AssumeRole", "AccessDenied", "is not authorized to perform");
    after_it_worked(Fault::Deny, &telling, true);
}

#[test]
fn expired_base_credentials() {
    let telling = told("the base credentials are expired", "BaseExpired", "ExpiredToken");
    after_it_worked(Fault::ExpireCaller, &telling, true);
}

#[test]
fn an_answer_that_hangs() {
    let telling = told("no answer came in time", "TimedOut", "no answer came in time");
    after_it_worked(Fault::Hang, &telling, false);
}

#[test]
fn an_answer_that_hangs_amid_its_body() {
    let telling = told("no answer came in time", "TimedOut", "no answer came in time");
    after_it_worked(Fault::HangMidAnswer, &telling, true);
}

#[test]
fn a_connection_dropped_amid_the_answer() {
    let telling = told("AWS STS cannot be reached", "Network", "STS of eu-west-1");
    after_it_worked(Fault::DropMidAnswer, &telling, false);
}

const UNUSABLE: &str = "the answer of AWS STS was unusable";

#[test]
fn malformed_xml() {
    after_it_worked(Fault::MalformedXml, &told(UNUSABLE, "BadAnswer", UNUSABLE), true);
}

#[test]
fn truncated_xml() {
    after_it_worked(Fault::TruncatedXml, &told(UNUSABLE, "BadAnswer", UNUSABLE), true);
}

#[test]
fn an_oversized_answer() {
    let telling = told(UNUSABLE, "BadAnswer", "larger than 1048576 bytes");
    after_it_worked(Fault::HugeAnswer { bytes: 50 << 20 }, &telling, true);
}

#[test]
fn a_session_that_is_expired_already() {
    let telling = told(UNUSABLE, "BadAnswer", "the session expired at ");
    after_it_worked(Fault::ExpiredSession, &telling, true);
}

#[test]
fn a_deleted_role() {
    let Some(scene) = Scene::mountable() else { return };
    let rig = Rig::serve(&scene);
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(5)));
    rig.refresh();
    scene.emulator.set_session_lifetime(None);
    scene.emulator.set_role("prod", RoleRules { is_deleted: true, ..RoleRules::default() });
    rig.serves_old_keys_to_their_end();
    rig.refresh_dev();
    rig.tells(&told("AWS denied AssumeRole", "AccessDenied", "is not authorized to perform"));
    scene.emulator.set_role("prod", RoleRules::default());
    rig.recovers(true);
}

#[test]
fn a_session_longer_than_asked_is_served_and_renewed_by_its_own_lifetime() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_hours(20)));
    let rig = Rig::serve_patiently(&scene);
    assert!(rig.key("prod").is_some());
    let role = rig.role();
    let left = role["remaining_seconds"].as_u64().unwrap();
    assert!((71_000..=72_000).contains(&left), "{left} s of 20 h");
    let next = humantime::parse_rfc3339(role["next_attempt"].as_str().unwrap()).unwrap();
    let pause = next.duration_since(scene.emulator.now()).unwrap();
    assert!(pause > Duration::from_hours(5), "{pause:?}");
    assert_eq!((rig.recorded(), role["failures"].as_u64()), (vec!["ok".to_owned()], Some(0)));
}

// What fails from the start: nothing that AssumeRole could be told by.

/// The configuration, with `prod` and `dev` below an STS of another address for `prod`.
fn elsewhere<'a>(scene: &'a Scene, endpoint: &str) -> Rig<'a> {
    Rig { scene, fleet: scene.serve_at(CONFIG, endpoint) }
}

/// Neither role can be had, and every place says so of `prod`.
#[track_caller]
fn fails_from_the_start(rig: &Rig<'_>, telling: &Telling) {
    let Telling { reason, cause, detail, .. } = telling;
    rig.readers_are_told(reason);
    eventually("another attempt", || rig.role()["failures"].as_u64() > Some(1));
    let role = rig.role();
    assert_eq!((role["state"].as_str(), role["renewals"].as_u64()), (Some("failing"), Some(0)));
    assert!(role["last_error"].as_str().unwrap().contains(detail), "{role}");
    assert!(rig.log().lines().any(|line| line.contains("WARN") && line.contains(detail)));
    let text = rig.prometheus();
    assert!(text.contains(&format!("result=\"{cause}\"")), "{text}");
    assert!(rig.recorded().iter().all(|result| result == cause), "{:?}", rig.recorded());
}

#[test]
fn no_network_at_the_start() {
    let Some(scene) = Scene::mountable() else { return };
    // Nobody listens there yet.
    let address = free_address();
    let rig = elsewhere(&scene, &format!("http://{address}"));
    let telling = told("AWS STS cannot be reached", "Network", "Connection refused");
    fails_from_the_start(&rig, &telling);
    let _network = Emulator::start_with(Options {
        listen: address,
        base_access_key_id: scene.emulator.base_access_key_id().to_owned(),
        base_secret_access_key: scene.emulator.base_secret_access_key().to_owned(),
        ..Options::default()
    })
    .unwrap();
    rig.recovers(false);
}

#[test]
fn a_name_that_cannot_be_resolved() {
    let Some(scene) = Scene::mountable() else { return };
    // No label of a name has more than 63 characters, so no server has to be asked.
    let endpoint = format!("http://{}.invalid", "a".repeat(64));
    let rig = elsewhere(&scene, &endpoint);
    fails_from_the_start(&rig, &told("AWS STS cannot be reached", "Network", "STS of eu-west-1"));
}

#[test]
fn a_connection_that_is_never_made() {
    let Some(scene) = Scene::mountable() else { return };
    let deaf = Deaf::listen();
    let rig = elsewhere(&scene, &format!("http://127.0.0.1:{}", deaf.port));
    let telling = told("no answer came in time", "TimedOut", "STS of eu-west-1");
    fails_from_the_start(&rig, &telling);
}

/// A port that takes no connection: its queue is full, and nobody accepts. Further attempts are
/// dropped by the kernel without an answer (listen(2)).
struct Deaf {
    port: u16,
    _listener: std::os::fd::OwnedFd,
    _queue: Vec<std::net::TcpStream>,
}

impl Deaf {
    fn listen() -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
        bind(&listener, &any).unwrap();
        listen(&listener, 0).unwrap();
        let address = std::net::SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
        let connect =
            || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queue: Vec<_> = std::iter::from_fn(connect).take(8).collect();
        assert!(queue.len() < 8, "the queue is never full");
        Self { port: address.port(), _listener: listener, _queue: queue }
    }
}

#[test]
fn an_expired_sso_session_of_the_base() {
    let Some(scene) = Scene::mountable() else { return };
    let aws = scene.path("home/.aws");
    fs::create_dir_all(aws.join("sso/cache")).unwrap();
    let profile = "[profile corp]\nsso_session = corp\nsso_account_id = 123456789012\n\
                   sso_role_name = dev\n[sso-session corp]\nsso_region = eu-west-1\n\
                   sso_start_url = https://example.awsapps.com/start\n";
    fs::write(aws.join("config"), profile).unwrap();
    let token = r#"{"startUrl":"https://example.awsapps.com/start","region":"eu-west-1",
                    "accessToken":"planted","expiresAt":"2020-01-01T00:00:00Z"}"#;
    // The name is the SHA-1 of the name of the session.
    let cached = aws.join("sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
    fs::write(cached, token).unwrap();
    let config = CONFIG.replace("role/prod\"\n", "role/prod\"\nsource_profile = \"corp\"\n");
    let rig = Rig { scene: &scene, fleet: scene.serve(&config) };
    let reason = "nobody is signed in, run credmount login prod";
    let detail = "sign-in corp: it ended at 2020-01-01T00:00:00Z; run credmount login corp";
    rig.tells(&Telling { is_called: false, ..told(reason, "LoginNeeded", detail) });
    assert!(!rig.log().contains("planted"));
}

// Time.

/// By how many seconds a skew may be told wrong: `Date` has whole seconds, and half the time that an
/// answer took is guessed.
pub(super) const MOST_OFF: i64 = 10;

/// A mount on a machine whose clock is `seconds` ahead of that of AWS.
#[track_caller]
fn on_a_machine_ahead_by(seconds: i64, words: &str) {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_clock_offset(-seconds);
    let rig = Rig::serve_patiently(&scene);
    assert!(rig.key("prod").is_some(), "no keys at the first open");
    assert_eq!(rig.fleet.read("live", "credmount/errors/prod").trim(), "");
    let status = rig.fleet.status()[0].1.clone();
    let skew = status["clock_skew_seconds"].as_i64().unwrap();
    assert!((skew - seconds).abs() <= MOST_OFF, "{skew} s");
    let left = status["roles"][0]["remaining_seconds"].as_u64().unwrap();
    assert!((3500..=3600).contains(&left), "{left} s of 1 h");
    let output = scene.run(&["status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("clock: {words}")), "{text}");
    assert!(text.contains("next renewal") && text.contains("(in "), "{text}");
    let warned: Vec<_> =
        rig.log().lines().filter(|line| line.contains(words)).map(str::to_owned).collect();
    assert!(warned.len() == 1 && warned[0].contains("WARN"), "{warned:?}");
    let metrics = rig.prometheus();
    let gauge = metrics.lines().find_map(|it| it.strip_prefix("credmount_clock_skew_seconds "));
    assert!((gauge.unwrap().parse::<i64>().unwrap() - seconds).abs() <= MOST_OFF, "{gauge:?}");
    // One of the two roles was refused at least; the other may have come after.
    assert_eq!(rig.recorded().last().unwrap(), "ok");
    let calls = records_of(&scene.path("audit.jsonl"), "assume_role");
    assert!(calls.iter().any(|call| call["result"] == "ClockSkew"), "{calls:?}");

    let output = scene.run(&["check", "--config", scene.path("config.toml").to_str().unwrap()]);
    let checked = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && checked.contains(&format!("clock: {words}")), "{checked}");

    // Neither do keys outlive their end, nor do they die early.
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(6)));
    rig.refresh();
    scene.emulator.set_fault(Fault::ServerError { status: 500 }.for_role("prod"));
    rig.serves_old_keys_to_their_end();
    rig.recovers(true);
}

#[test]
fn a_clock_ten_minutes_behind() {
    on_a_machine_ahead_by(-600, "10 min behind AWS");
}

#[test]
fn a_clock_ten_minutes_ahead() {
    on_a_machine_ahead_by(600, "10 min ahead of AWS");
}

#[test]
fn a_clock_37_hours_behind() {
    on_a_machine_ahead_by(-37 * 3600, "37 h behind AWS");
}

#[test]
fn a_clock_37_hours_ahead() {
    on_a_machine_ahead_by(37 * 3600, "37 h ahead of AWS");
}

/// Where the SDK itself assumes a role for the base credentials.
#[test]
fn a_wrong_clock_does_not_keep_the_sdk_from_assuming_the_role_of_a_base_profile() {
    for seconds in [37 * 3600, -37 * 3600] {
        let Some(scene) = Scene::mountable() else { return };
        scene.emulator.set_clock_offset(seconds);
        let aws = scene.path("home/.aws");
        fs::create_dir_all(&aws).unwrap();
        let hub =
            format!("[profile hub]\nrole_arn = {}\ncredential_source = Environment\n", arn("hub"));
        fs::write(aws.join("config"), hub).unwrap();
        let config = CONFIG.replace("role/prod\"\n", "role/prod\"\nsource_profile = \"hub\"\n");
        let rig = Rig { scene: &scene, fleet: scene.serve(&config) };
        eventually("keys", || rig.key("prod").is_some());
        assert!(scene.emulator.call_count("AssumeRole", "hub") > 0);
    }
}

#[test]
fn a_clock_that_is_put_right_is_told_and_costs_no_reader_a_key() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_clock_offset(600);
    let rig = Rig::serve_patiently(&scene);
    assert!(rig.key("prod").is_some());
    scene.emulator.set_clock_offset(0);
    rig.refresh();
    assert!(rig.key("prod").is_some());
    let skew = rig.fleet.status()[0].1["clock_skew_seconds"].as_i64().unwrap();
    assert!(skew.abs() <= MOST_OFF, "{skew} s");
    assert!(rig.log().contains("the clock of this machine is right again"));
}

#[test]
fn time_that_steps_while_a_mount_serves_costs_one_call_more() {
    let Some(scene) = Scene::mountable() else { return };
    let rig = Rig::serve_patiently(&scene);
    // As seen from AWS the machine is set back by five hours.
    scene.emulator.set_clock_offset(5 * 3600);
    rig.refresh();
    let key = rig.key("prod").unwrap();
    let session = scene.emulator.session(&key).unwrap();
    assert!(session.expiration > scene.emulator.now(), "expired keys are served");
    assert_eq!(rig.recorded().last().unwrap(), "ok");
    assert!(rig.log().contains("5 h behind AWS"));
    assert_eq!(rig.role()["last_error"], Value::Null);
}

#[test]
fn a_date_that_a_proxy_writes_moves_no_clock() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_fault(Fault::WrongDate { seconds: 37 * 3600 });
    let rig = Rig::serve_patiently(&scene);
    assert!(rig.key("prod").is_some());
    assert_eq!(rig.fleet.status()[0].1["clock_skew_seconds"], Value::Null);
    assert!(!rig.log().contains("ahead of AWS") && !rig.log().contains("behind AWS"));
}

/// A suspend as far as it can be had here: the daemon does not run until its sessions are over.
#[test]
fn a_daemon_that_did_not_run_for_longer_than_its_sessions_serves_no_expired_key() {
    let Some(scene) = Scene::mountable() else { return };
    let rig = Rig::serve_patiently(&scene);
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(4)));
    rig.refresh();
    let old = rig.key("prod").unwrap();
    let pid = rig.fleet.pid();
    kill_process(pid, Signal::STOP).unwrap();
    scene.emulator.set_session_lifetime(None);
    let end = scene.emulator.session(&old).unwrap().expiration;
    let is_over = || scene.emulator.now().duration_since(end).is_ok_and(|it| it > Duration::ZERO);
    eventually("the session to be over", is_over);
    kill_process(pid, Signal::CONT).unwrap();
    let key = rig.key("prod").expect("new keys at the first open");
    assert_ne!(key, old);
    assert_eq!(rig.recorded().last().unwrap(), "ok");
}
