//! The container-credentials endpoint of a real mount: who is let in, what there is to hand out, and
//! what becomes of it over the lives of mount and daemon. Real clients are in `clients::endpoint`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::emulator::Fault;
use crate::support::reader::Reader;
use crate::support::records::{opens, records_of};
use crate::support::{Daemon, PATIENCE, Scene, arn, eventually, free_address};

/// What a request is answered; without JSON the body is `Null`.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    body: Value,
    pub(crate) whole: String,
}

/// Sends these bytes and reads what comes until the endpoint closes the connection.
pub(crate) fn converse(address: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut whole = String::new();
    stream.read_to_string(&mut whole)?;
    let (head, body) = whole.split_once("\r\n\r\n").unwrap_or((&whole, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = serde_json::from_str(body).unwrap_or_default();
    Ok(Answer { status, body, whole })
}

/// `GET PATH` with a token and these lines more.
pub(crate) fn request(address: SocketAddr, path: &str, token: &str, more: &[&str]) -> String {
    let own = [format!("Host: {address}"), format!("Authorization: {token}")];
    let lines = own.iter().map(String::as_str).chain(more.iter().copied());
    format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", lines.collect::<Vec<_>>().join("\r\n"))
}

fn try_ask(address: SocketAddr, token: &str, role: &str) -> io::Result<Answer> {
    converse(address, &request(address, &format!("/role/{role}"), token, &[]))
}

#[track_caller]
fn ask(address: SocketAddr, token: &str, role: &str) -> Answer {
    try_ask(address, token, role).expect("the endpoint listens")
}

fn token_of(daemon: &Daemon<'_>) -> String {
    fs::read_to_string(daemon.file(TOKEN)).expect("the token can be read")
}

/// The role `prod` with an endpoint, and these arguments more.
fn mount<'a>(scene: &'a Scene, address: SocketAddr, more: &[&str]) -> Daemon<'a> {
    let (prod, listen) = (arn("prod"), address.to_string());
    scene.mount(&[&["--role", &prod, "--endpoint", &listen][..], more].concat())
}

#[test]
fn who_has_the_token_gets_the_keys_that_the_mount_serves() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let daemon = mount(&scene, address, &[]);
    let token = token_of(&daemon);
    let answer = ask(address, &token, "prod");
    assert_eq!(answer.status, 200, "{answer:?}");
    let process = fs::read_to_string(daemon.file("credmount/process/prod.json")).unwrap();
    let process: Value = serde_json::from_str(&process).unwrap();
    for (ours, theirs) in [
        ("AccessKeyId", "AccessKeyId"),
        ("SecretAccessKey", "SecretAccessKey"),
        ("Token", "SessionToken"),
        ("Expiration", "Expiration"),
        ("AccountId", "AccountId"),
    ] {
        assert!(process[theirs].is_string(), "{theirs}");
        assert_eq!(answer.body[ours], process[theirs], "{ours}");
    }
    assert_eq!(answer.body["RoleArn"], arn("prod"));
    assert_eq!(ask(address, &token, "default").body, answer.body);
    daemon.refresh();
    assert_ne!(ask(address, &token, "prod").body["AccessKeyId"], answer.body["AccessKeyId"]);

    let status = daemon.status();
    assert_eq!(status["endpoint"]["address"], address.to_string(), "{status}");
    assert_eq!(status["endpoint"]["trouble"], Value::Null);
    let told = scene.run(&["status", daemon.argument()]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains(&format!("endpoint: http://{address}/role/NAME")), "{told}");
}

#[test]
fn the_token_is_a_file_of_nothing_else_for_the_life_of_the_daemon() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mount(&scene, free_address(), &[]);
    let meta = fs::metadata(daemon.file(TOKEN)).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.len()), (0o400, 64));
    let token = token_of(&daemon);
    // SDKs send along whatever stands there, and refuse newlines.
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    daemon.refresh();
    assert_eq!(token_of(&daemon), token);
    drop(daemon);
    let daemon = scene.mount_prod();
    assert!(!daemon.file("credmount/endpoint").exists(), "without an endpoint there is none");
}

#[test]
fn whoever_is_not_a_program_with_the_token_is_refused() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let daemon = mount(&scene, address, &[]);
    let token = token_of(&daemon);
    let right = request(address, "/role/prod", &token, &[]);
    let without_host = right.replace(&format!("Host: {address}\r\n"), "");
    for (request, status, code) in [
        (right.replace(&token, ""), 401, "InvalidToken"),
        (right.replace(&token, &token.to_uppercase().replace('A', "b")), 401, "InvalidToken"),
        (right.replace(&token, &format!("Bearer {token}")), 401, "InvalidToken"),
        (right.replace(&address.to_string(), "evil.example"), 403, "ForeignHost"),
        (without_host, 403, "ForeignHost"),
        (request(address, "/role/prod", &token, &["X-Forwarded-For: ::1"]), 403, "Forwarded"),
        (request(address, "/role/prod", &token, &["Via: 1.1 proxy"]), 403, "Forwarded"),
        (right.replace("GET", "POST"), 405, "MethodNotAllowed"),
        (right.replace("/role/prod", "/"), 404, "NoSuchPath"),
        (right.replace("/role/prod", "/role/nobody"), 404, "UnknownRole"),
    ] {
        let answer = converse(address, &request).unwrap();
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (status, &Value::from(code)),
            "{request}"
        );
        let said = answer.whole;
        assert!(!said.contains("ASIA") && !said.contains(&token[..12]), "{said}");
    }
    assert_eq!(converse(address, &right).unwrap().status, 200);
    // Nobody listens elsewhere.
    let elsewhere = SocketAddr::new("127.0.0.2".parse().unwrap(), address.port());
    assert!(TcpStream::connect(elsewhere).is_err());
}

#[test]
fn a_role_that_fails_is_told_in_general_and_the_log_has_the_words_of_aws() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_fault(Fault::Deny.for_role("dev"));
    let address = free_address();
    let daemon = mount(&scene, address, &["--role", &arn("dev")]);
    let answer = ask(address, &token_of(&daemon), "dev");
    assert_eq!(answer.status, 403);
    let reason = "credmount: profile dev has no keys: AWS denied AssumeRole, run credmount status";
    assert_eq!(answer.body["message"], reason);
    let log = daemon.log();
    assert!(log.contains("is not authorized to perform"), "{log}");
    assert!(!log.contains(&token_of(&daemon)[..12]));
    scene.emulator.clear_faults();
    daemon.refresh();
    assert_eq!(ask(address, &token_of(&daemon), "dev").status, 200);
}

#[test]
fn a_lock_closes_the_endpoint_too() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let daemon = mount(&scene, address, &[]);
    let token = token_of(&daemon);
    assert!(scene.run(&["lock"]).status.success());
    let answer = ask(address, &token, "prod");
    assert_eq!(answer.status, 403);
    assert!(answer.whole.contains("credmount is locked"), "{answer:?}");
    assert!(scene.run(&["unlock"]).status.success());
    assert_eq!(ask(address, &token_of(&daemon), "prod").status, 200);
}

#[test]
fn every_request_is_recorded_with_the_key_and_the_user_of_the_asker() {
    let Some(scene) = Scene::mountable() else { return };
    let (address, log) = (free_address(), scene.path("audit.jsonl"));
    let daemon = mount(&scene, address, &["--audit-log", log.to_str().unwrap()]);
    let token = token_of(&daemon);
    let key = ask(address, &token, "prod").body["AccessKeyId"].clone();
    assert_eq!(ask(address, "guess", "prod").status, 401);
    let of_token: Vec<Value> = opens(&log, "allowed");
    assert_eq!(of_token.len(), 1);
    assert_eq!(of_token[0]["file"], TOKEN);
    let names: Vec<&Value> =
        of_token[0]["roles"].as_array().unwrap().iter().map(|role| &role["name"]).collect();
    assert_eq!(names, ["default", "prod"]);
    let requests = records_of(&log, "request");
    assert_eq!(requests.len(), 2);
    let own = rustix::process::geteuid().as_raw();
    for (record, decision) in requests.iter().zip(["allowed", "refused"]) {
        assert_eq!(record["decision"], decision, "{record}");
        assert_eq!(record["uid"], own, "{record}");
        assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    }
    assert_eq!(requests[0]["roles"][0]["access_key_id"], key);
    assert_eq!(requests[1]["reason"], "InvalidToken");
    assert!(!fs::read_to_string(&log).unwrap().contains(&token[..12]));
    let told = scene.run(&["audit", log.to_str().unwrap(), "--role", "prod"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains(key.as_str().unwrap()) && told.contains("endpoint"), "{told}");
    let metrics = fs::read_to_string(daemon.file("credmount/metrics")).unwrap();
    for (result, count) in [("served", 1), ("refused", 1), ("failing", 0), ("limited", 0)] {
        let counted = metrics.lines().any(|line| {
            line.starts_with("credmount_endpoint_requests_total{")
                && line.ends_with(&format!("result=\"{result}\"}} {count}"))
        });
        assert!(counted, "{result}: {metrics}");
    }
}

#[test]
fn an_address_in_use_keeps_a_new_mount_from_being_made() {
    let Some(scene) = Scene::mountable() else { return };
    let other = TcpListener::bind(free_address()).unwrap();
    let address = other.local_addr().unwrap().to_string();
    let live = scene.path("live");
    let args = ["--role", &arn("prod"), "--endpoint", &address, "--background"];
    let output = scene.run(&[&args[..], &[live.to_str().unwrap()]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&address) && told.contains("another program listens there"), "{told}");
    assert!(!live.join("credentials").exists());
}

/// Two roles, one mount `live`, and these lines more about it.
fn config(more: &str) -> String {
    format!(
        r#"
region = "eu-west-1"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[roles.dev]
role_arn = "arn:aws:iam::123456789012:role/dev"
[mounts.live]
path = "ROOT/live"
{more}
"#
    )
}

fn listening(address: SocketAddr) -> String {
    config(&format!("endpoint = \"{address}\""))
}

#[test]
fn a_reload_opens_moves_and_closes_the_endpoint_of_a_mount_that_serves() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(&config(""));
    let Some(mut reader) = Reader::in_a_bind(&scene, &scene.path("live")) else { return };
    assert_eq!(reader.read(TOKEN), "", "there is none yet");
    let (first, second) = (free_address(), free_address());
    let reload = |config: &str| {
        let output = fleet.reload(config);
        assert!(output.status.success(), "{output:?}");
    };
    reload(&listening(first));
    let token = reader.read(TOKEN);
    assert_eq!(ask(first, &token, "prod").status, 200);
    reload(&listening(second));
    assert_eq!(ask(second, &token, "dev").status, 200, "the token is that of the mount");
    assert!(TcpStream::connect(first).is_err());
    reload(&listening(second).replace("region = \"eu-west-1\"", "region = \"eu-west-2\""));
    assert_eq!(ask(second, &token, "dev").status, 200);
    reload(&config(""));
    assert_eq!(reader.read(TOKEN), "");
    assert!(TcpStream::connect(second).is_err());
}

#[test]
fn an_address_in_use_does_not_end_a_mount_that_serves_and_is_taken_later() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(&config(""));
    let other = TcpListener::bind(free_address()).unwrap();
    let address = other.local_addr().unwrap();
    let output = fleet.reload(&listening(address));
    let told = format!("{output:?}");
    assert!(told.contains("another program listens there"), "{told}");
    let trouble = || fleet.status()[0].1["endpoint"]["trouble"].clone();
    assert!(trouble().as_str().unwrap().contains("another program listens there"));
    let text = scene.run(&["status"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("endpoint: NOT SERVED"), "{text:?}");
    assert!(fleet.read("live", "credentials").contains("[prod]"));
    drop(other);
    eventually("the endpoint to listen", || trouble() == Value::Null);
    assert_eq!(ask(address, &fleet.read("live", TOKEN), "prod").status, 200);
}

#[test]
fn only_who_may_read_every_role_may_read_the_token() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let uid = rustix::process::geteuid().as_raw();
    let rule = format!("[[mounts.live.allow]]\nuid = {uid}\nroles = [\"dev\"]");
    let some = listening(address) + &rule;
    let fleet = scene.serve(&some);
    let path = scene.path("live").join(TOKEN);
    assert!(fleet.read("live", "credentials").contains("[dev]"));
    assert_eq!(fs::read(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    let output = fleet.reload(&listening(address));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(&path).unwrap().len(), 64);
}

#[test]
fn two_mounts_cannot_have_one_address() {
    let scene = Scene::new();
    let address = free_address();
    let twin = format!("[mounts.twin]\npath = \"ROOT/twin\"\nendpoint = \"{address}\"\n");
    let path = scene.write_config(&(listening(address) + &twin));
    let output = scene.run(&["--background", "--config", path.to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("of mount `twin` is that of mount `live` too"), "{told}");
}

#[test]
fn the_daemon_after_a_crash_listens_again_with_a_token_of_its_own() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let daemon = mount(&scene, address, &["--supervise"]);
    let (pid, token) = (daemon.pid(), token_of(&daemon));
    daemon.signal(Signal::KILL);
    eventually("the next daemon", || daemon.try_pid().is_some_and(|next| next != pid));
    eventually("the endpoint", || {
        // As SDKs do, which read the token for each request.
        try_ask(address, &token_of(&daemon), "prod").is_ok_and(|answer| answer.status == 200)
    });
    assert_ne!(token_of(&daemon), token);
    assert_eq!(ask(address, &token, "prod").status, 401);
}

#[test]
fn while_the_configuration_is_broken_the_endpoint_says_so_and_then_hands_out_keys_again() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let fleet = scene.supervise(&listening(address));
    let pid = fleet.pid();
    scene.write_config("this is no TOML");
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    eventually("the next daemon", || fleet.try_pid().is_some_and(|next| next != pid));
    let answer = ask(address, &fleet.read("live", TOKEN), "prod");
    assert_ne!(answer.status, 200, "{answer:?}");
    assert!(answer.whole.contains("the configuration of credmount is broken"), "{answer:?}");
    let output = fleet.reload(&listening(address));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(ask(address, &fleet.read("live", TOKEN), "prod").status, 200);
}

#[test]
fn an_unmount_frees_the_address_for_the_next_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    for _ in 0..3 {
        let daemon = mount(&scene, address, &[]);
        assert_eq!(ask(address, &token_of(&daemon), "prod").status, 200);
        let output = scene.run(&["unmount", daemon.argument()]);
        assert!(output.status.success(), "{output:?}");
        assert!(TcpStream::connect(address).is_err());
    }
}

const TOKEN: &str = "credmount/endpoint/token";
