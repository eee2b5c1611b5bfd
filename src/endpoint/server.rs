//! Connections: how many, how large, how long. One request each, since SDKs ask once in minutes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::desk::Desk;

/// Accepts connections until cancelled, and with it ends those that are open. Those for which there
/// is no place wait in the kernel.
pub(super) async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Nobody closes it.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let conversation = converse(stream, peer, desk.clone());
                connections.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, for example: give the others time to close.
                tracing::warn!(%error, "the endpoint cannot accept a connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, desk: Arc<Desk>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        async move {
            // No request has a body that would be of interest.
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(desk.answer(&head, peer).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(LARGEST_HEAD)
        .keep_alive(false);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    // What is no HTTP, or too large, was answered by the server; who leaves wants no answer.
    let _ = timeout(CONNECTION_DEADLINE, served).await;
}

/// Connections at a time.
const MOST_CONNECTIONS: usize = 64;

/// The least that the server takes, in bytes; a head that does not fit is answered 431.
const LARGEST_HEAD: usize = 8192;

/// How long a program may take to send its head: it is on the same machine.
const HEAD_DEADLINE: Duration = Duration::from_secs(2);

/// How long all of it may take: the head, the wait for a session and for the record, and a program
/// that is slow to read.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(15);

const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
