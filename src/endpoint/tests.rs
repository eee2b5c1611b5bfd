//! Requests before a fake STS: what is answered, how soon, and how often; and connections that are
//! slow, many or large.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::answer::Answer as HttpAnswer;
use super::desk::Desk;
use super::*;
use crate::audit::{AuditLog, OnFailure, Sinks};
use crate::broker::{Cause, Serving};
use crate::clock::Clock as _;
use crate::open::testing::{TOKEN, service};
use crate::publish::testing::{Answer, Roles};

/// A mount with an endpoint, and who asks there.
struct Scene {
    roles: Roles,
    current: Arc<CurrentService>,
    desk: Arc<Desk>,
}

impl Scene {
    fn new() -> Self {
        let roles = Roles::new();
        let current = CurrentService::new(service(&roles, Vec::new(), 100));
        let desk = Desk::new(endpoint(), Secret::new(TOKEN), current.clone());
        Self { roles, current, desk }
    }

    /// With sessions.
    async fn live() -> Self {
        let scene = Self::new();
        scene.roles.fetch().await;
        scene
    }

    async fn ask(&self, path: &str, token: &str) -> (StatusCode, Value, HttpAnswer) {
        let answer = self.desk.answer(&head(path, token), peer()).await;
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let answer = HttpAnswer::from_parts(parts, bytes.clone().into());
        (answer.status(), serde_json::from_slice(&bytes).unwrap(), answer)
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        self.ask(path, token).await.0.as_u16()
    }

    fn counted(&self, result: &str) -> Option<String> {
        let name =
            format!("credmount_endpoint_requests_total{{mount=\"test\",result=\"{result}\"}}");
        let metrics = self.current.get().metrics();
        metrics.lines().find_map(|line| Some(line.strip_prefix(&name)?.trim().to_owned()))
    }
}

fn endpoint() -> SocketAddr {
    "127.0.0.1:9911".parse().unwrap()
}

fn peer() -> SocketAddr {
    "127.0.0.1:40404".parse().unwrap()
}

fn head(path: &str, token: &str) -> Parts {
    let request = Request::get(path).header("host", "127.0.0.1:9911");
    request.header("authorization", token).body(()).unwrap().into_parts().0
}

#[tokio::test(start_paused = true)]
async fn keys_are_those_that_the_mount_serves_and_are_not_to_be_kept() {
    let scene = Scene::live().await;
    let (status, keys, answer) = scene.ask("/role/prod", TOKEN).await;
    assert_eq!((status, &keys["AccessKeyId"]), (StatusCode::OK, &Value::from("ASIA0")));
    assert_eq!(keys["RoleArn"], "arn:aws:iam::123456789012:role/prod");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(scene.ask("/role/dev", TOKEN).await.1["AccessKeyId"], "ASIA1");
    assert_eq!(scene.counted("served").as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_session_as_an_open_does() {
    let scene = Scene::new();
    assert_eq!(scene.ask("/role/prod", TOKEN).await.1["AccessKeyId"], "ASIA0");
    // At its end another one is fetched, and the request waits for that.
    sleep(Duration::from_mins(59)).await;
    assert_eq!(scene.ask("/role/prod", TOKEN).await.1["AccessKeyId"], "ASIA1");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_somebody_has_to_mend_fails_at_once_with_the_reason() {
    let scene = Scene::new();
    *scene.roles.answer.lock() = Answer::Fail;
    let (status, told, answer) = scene.ask("/role/prod", TOKEN).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(told["code"], "NoCredentials");
    let reason = "credmount: profile prod has no keys: AWS denied AssumeRole, run credmount status";
    assert_eq!(told["message"], reason);
    assert!(!answer.headers().contains_key("retry-after"));
    assert_eq!(scene.counted("failing").as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_while_sts_hangs_is_told_to_come_again_before_it_hangs_up() {
    let scene = Scene::new();
    *scene.roles.answer.lock() = Answer::Hang;
    let start = Instant::now();
    let (status, told, answer) = scene.ask("/role/prod", TOKEN).await;
    assert_eq!(start.elapsed(), Duration::from_millis(1500), "botocore hangs up after 2 s");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert!(told["message"].as_str().unwrap().contains("no answer came in time"), "{told}");
    // The flight goes on, and no reader of a file is told that the role fails.
    let now = scene.roles.clock.now();
    assert!(matches!(scene.roles.broker.serving(&scene.roles.prod, now), Serving::Pending));
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_is_locked_hands_out_nothing_until_it_is_unlocked() {
    let scene = Scene::live().await;
    scene.roles.publisher.close(Some(Cause::Locked)).await;
    let (status, told, _) = scene.ask("/role/prod", TOKEN).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(told["message"].as_str().unwrap().contains("locked"), "{told}");
    scene.roles.publisher.close(None).await;
    assert_eq!(scene.status("/role/prod", TOKEN).await, 200);
}

#[tokio::test(start_paused = true)]
async fn those_who_guess_are_slowed_down_and_others_are_not() {
    let scene = Scene::live().await;
    for _ in 0..10 {
        assert_eq!(scene.status("/role/prod", "guess").await, 401);
    }
    let (status, told, answer) = scene.ask("/role/prod", "guess").await;
    assert_eq!((status.as_u16(), &told["code"]), (429, &Value::from("TooManyRequests")));
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(scene.status("/role/prod", TOKEN).await, 200);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.status("/role/prod", "guess").await, 401);
    assert_eq!(scene.status("/role/prod", "guess").await, 429);
    assert_eq!(scene.counted("refused").as_deref(), Some("11"));
    assert_eq!(scene.counted("limited").as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_asks_in_a_loop_does_not_get_all_the_turns() {
    let scene = Scene::live().await;
    let mut served = 0;
    for _ in 0..600 {
        served += usize::from(scene.status("/role/prod", TOKEN).await == 200);
    }
    assert_eq!(served, 500);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.status("/role/prod", TOKEN).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_what_to_do_and_nothing_of_the_request() {
    let scene = Scene::live().await;
    for (path, token, status, code) in [
        ("/role/prod", "secret-guess", 401, "InvalidToken"),
        ("/secret-path", TOKEN, 404, "NoSuchPath"),
        ("/role/secret-role", TOKEN, 404, "UnknownRole"),
    ] {
        let (found, told, answer) = scene.ask(path, token).await;
        assert_eq!((found.as_u16(), &told["code"]), (status, &Value::from(code)));
        assert!(told["message"].as_str().unwrap().starts_with("credmount: "), "{told}");
        let said = format!("{told} {:?}", answer.headers());
        assert!(!said.contains("secret") && !said.contains(TOKEN), "{said}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
    }
}

#[tokio::test]
async fn each_request_is_recorded_before_it_is_answered_without_the_token() {
    let scene = Scene::live().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let sinks = Sinks { file: Some(path.clone()), journal: false };
    let recorder = scene.current.get().gate().recorder.clone();
    recorder.replace(Some(AuditLog::start(sinks, OnFailure::Serve).unwrap())).await;
    scene.ask("/role/prod", TOKEN).await;
    scene.ask("/role/prod", "guess").await;
    scene.ask("/role/nobody", TOKEN).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |record: &Value| {
        let key = record["roles"][0]["access_key_id"].as_str().unwrap_or_default().to_owned();
        let reason = record["reason"].as_str().unwrap_or_default().to_owned();
        (record["decision"].as_str().unwrap().to_owned(), key, reason)
    };
    let expected =
        [("allowed", "ASIA0", ""), ("refused", "", "InvalidToken"), ("refused", "", "UnknownRole")];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(records.iter().all(|it| it["event"] == "request" && it["peer"] == "127.0.0.1:40404"));
    assert!(!text.contains(&TOKEN[..12]), "{text}");
}

#[tokio::test]
async fn what_must_be_recorded_and_cannot_be_is_not_served() {
    let scene = Scene::live().await;
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("audit.jsonl"));
    let log = AuditLog::start(Sinks { file, journal: false }, OnFailure::Refuse).unwrap();
    // One that has ended writes nothing any more.
    log.close().await;
    scene.current.get().gate().recorder.replace(Some(log)).await;
    let (status, told, _) = scene.ask("/role/prod", TOKEN).await;
    assert_eq!((status.as_u16(), &told["code"]), (500, &Value::from("NotRecorded")));
    assert_eq!(scene.ask("/role/prod", "guess").await.1["code"], "NotRecorded");
}

/// A live endpoint on a free port.
async fn listening() -> (SocketAddr, Endpoint, Scene) {
    let scene = Scene::live().await;
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint =
        Endpoint::start(address, Secret::new(TOKEN), scene.current.clone(), Ok(listener));
    (address, endpoint, scene)
}

/// What the endpoint answers to these bytes until it closes the connection.
async fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may have answered and gone before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_mins(1), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn request(address: SocketAddr, more: &str) -> Vec<u8> {
    let path = "GET /role/prod HTTP/1.1";
    format!("{path}\r\nHost: {address}\r\nAuthorization: {TOKEN}\r\n{more}\r\n").into_bytes()
}

#[tokio::test]
async fn a_connection_is_for_one_request_whatever_else_is_sent() {
    let (address, _endpoint, _scene) = listening().await;
    let twice = [request(address, ""), request(address, "")].concat();
    for bytes in [
        twice,
        request(address, "Connection: keep-alive\r\n"),
        [request(address, "Content-Length: 5\r\n"), b"hello".to_vec()].concat(),
    ] {
        let answer = converse(address, &bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert_eq!(answer.matches("ASIA0").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_no_http_gets_nothing() {
    let (address, _endpoint, _scene) = listening().await;
    let large = request(address, &format!("X-Large: {}\r\n", "x".repeat(20_000)));
    let answer = converse(address, &large).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = request(address, &"X-Many: x\r\n".repeat(500));
    let answer = converse(address, &many).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"NONSENSE\r\n\r\n"] {
        let answer = converse(address, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert!(converse(address, &request(address, "")).await.contains("ASIA0"));
}

#[tokio::test]
async fn those_who_connect_and_say_nothing_keep_nobody_out_for_long() {
    let (address, _endpoint, _scene) = listening().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    // Three times as many as there are places: each has its turn, and is shown out after 2 s.
    let answer = converse(address, &request(address, "")).await;
    assert!(answer.contains("ASIA0"), "{answer}");
    drop(idle);
}

#[tokio::test]
async fn an_address_in_use_is_told_and_taken_as_soon_as_it_is_free() {
    let scene = Scene::live().await;
    // Of this process alone: nobody else takes it while it is free.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = std::net::Ipv4Addr::new(127, 0x80 | high, middle, low);
    let other = listen((own, 0).into()).await.unwrap();
    let address = other.local_addr().unwrap();
    let bound = listen(address).await;
    let endpoint = Endpoint::start(address, Secret::new(TOKEN), scene.current.clone(), bound);
    let trouble = endpoint.trouble();
    let told = trouble.lock().clone().unwrap();
    assert!(told.contains(&address.to_string()) && told.contains("another program"), "{told}");
    drop(other);
    let until = Instant::now() + Duration::from_mins(1);
    while trouble.lock().is_some() {
        assert!(Instant::now() < until, "it listens when it can");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(converse(address, &request(address, "")).await.contains("ASIA0"));
    endpoint.stop().await;
    assert!(listen(address).await.is_ok(), "the address is free at once");
}

#[test]
fn tokens_are_64_digits_and_never_the_same() {
    let tokens: Vec<String> = (0..100)
        .map(|_| crate::render::endpoint_token(&new_token().unwrap()).to_string())
        .collect();
    for token in &tokens {
        assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    }
    let distinct: std::collections::HashSet<&String> = tokens.iter().collect();
    assert_eq!(distinct.len(), 100);
}
