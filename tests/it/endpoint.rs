//! The container-credentials endpoint of a real mount: who is let in, what there is to hand out, and
//! what becomes of it over the lives of mount and daemon.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::support::{Daemon, PATIENCE, Scene, arn};

/// An address where nobody listens at present.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// What a request is answered: the status and the JSON, `Null` without one.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

/// Sends these bytes and reads what comes until the endpoint closes the connection.
fn converse(address: SocketAddr, request: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = serde_json::from_str(body).unwrap_or_default();
    Ok(Answer { status, head: head.to_ascii_lowercase(), body })
}

fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    converse(address, request.as_bytes()).expect("the endpoint listens")
}

fn token_of(daemon: &Daemon<'_>) -> String {
    fs::read_to_string(daemon.file("credmount/endpoint/token")).expect("the token can be read")
}

fn ask(address: SocketAddr, daemon: &Daemon<'_>, role: &str) -> Answer {
    get(address, &format!("/role/{role}"), &[("Authorization", &token_of(daemon))])
}

#[test]
fn who_has_the_token_gets_the_keys_that_the_mount_serves() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let listen = address.to_string();
    let daemon = scene.mount(&["--role", &arn("prod"), "--endpoint", &listen]);
    let answer = ask(address, &daemon, "prod");
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
        assert_eq!(answer.body[ours], process[theirs], "{ours}");
    }
    assert_eq!(answer.body["RoleArn"], arn("prod"));
    // By the name that readers have for it, too.
    assert_eq!(ask(address, &daemon, "default").body, answer.body);
    let status = daemon.status();
    assert_eq!(status["endpoint"]["address"], listen, "{status}");
    assert_eq!(status["endpoint"]["trouble"], Value::Null);
}
