//! The control socket: whatever a client sends, it gets one line that says what became of it, and
//! a mount that it adds is one that could stand in the configuration.

#![no_main]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use credmount::broker::BoxFuture;
use credmount::config::{Flags, Selection};
use credmount::control::{Controlled, Request, Response, Server};
use credmount_fuzz::settings::{Texts, resolved};
use libfuzzer_sys::fuzz_target;

/// Answers each request by itself, so that it can be seen what was understood.
#[derive(Debug)]
struct Echo;

impl Controlled for Echo {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        let text = serde_json::to_string(&request).expect("a request can be written");
        Box::pin(async { Response::Done(text) })
    }
}

/// The socket of a server that answers for ever.
static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory").keep();
    let socket = dir.join("fuzz.sock");
    let path = socket.clone();
    let (bound, is_bound) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (server, _conversations) = Server::bind(&path).expect("a socket");
            bound.send(()).expect("somebody waits");
            server.run(Arc::new(Echo)).await;
        });
    });
    is_bound.recv().expect("a server");
    socket
});

fuzz_target!(|line: &[u8]| {
    let mut stream = UnixStream::connect(&*SOCKET).expect("a server that accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
    // A server that has its answer may be gone before all is sent.
    let _ = stream.write_all(line);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in time");
    let answer = answer.strip_suffix('\n').expect("a line");
    let response: Response = serde_json::from_str(answer).expect("a response");
    match (response, serde_json::from_slice::<Request>(first_line(line))) {
        (Response::Done(text), Ok(request)) => {
            let understood: Request = serde_json::from_str(&text).expect("a request");
            assert_eq!(understood, request);
            if let Request::Add { mount, .. } = request {
                let environment = BTreeMap::from([("HOME".to_owned(), "/home/jane".to_owned())]);
                let (texts, flags) = (Texts::default(), Flags::default());
                resolved(texts, &flags, &environment, Selection::Mounts(&[]), &[*mount]);
            }
        }
        (Response::Failed(_), Err(_)) => {}
        (response, request) => panic!("{response:?} to {request:?}"),
    }
    // The other direction: what a client makes of an answer.
    if let Ok(response) = serde_json::from_slice::<Response>(line) {
        let text = serde_json::to_string(&response).expect("a response can be written");
        assert_eq!(serde_json::from_str::<Response>(&text).expect("a response"), response);
    }
});

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default()
}
