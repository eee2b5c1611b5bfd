//! The container-credentials endpoint of a mount: hands out the keys of one role to each request
//! over HTTP, as AWS SDKs ask for them by `AWS_CONTAINER_CREDENTIALS_FULL_URI` (AWS SDKs and Tools
//! Reference Guide, "Container credential provider"), where a program can neither run `cat` nor read
//! its keys anew. An adapter: it admits, limits and translates; [`OpenService::request`] decides
//! what there is to hand out. Must not know AWS, FUSE or the configuration.
//!
//! 1. It listens on an address of the loopback interface only: tokens and keys go over it in clear.
//! 2. A request shows the token of the mount: 32 random bytes, new with each daemon, that stand in
//!    `credmount/endpoint/token` for those who may read every role. SDKs read that file again for
//!    each request (boto3, JavaScript v3 and Rust do), so no program notices another daemon.
//! 3. A request comes straight from a program. One that names another host, as by DNS rebinding, or
//!    that somebody has forwarded, is refused before its token is looked at.
//! 4. Whoever is refused is told a generic reason; what was wrong is in the log and the audit log.
//! 5. A role that fails is an error that SDKs do not take for "no credentials here": see
//!    `answer.rs`.
//! 6. Everything is bounded: connections, the size and the time of a request, requests in a second,
//!    and above all refusals, each of which is logged and recorded. Whoever is beyond is refused at
//!    once: to let them wait would keep the connections that others need.
//!
//! [`OpenService::request`]: crate::open::OpenService::request

mod answer;
mod desk;
mod guard;
mod limit;
mod server;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::model::Secret;
use crate::open::CurrentService;
use desk::Desk;

pub use guard::{Refusal, admit};

/// A new token: 32 random bytes in hexadecimal, which every SDK can send as a header.
///
/// # Errors
/// If the kernel gives no random bytes (getrandom(2)).
pub fn new_token() -> io::Result<Secret> {
    let mut bytes = Zeroizing::new([0_u8; TOKEN_BYTES]);
    let length = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    if length < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut token = Zeroizing::new(String::with_capacity(2 * TOKEN_BYTES));
    for byte in bytes.iter() {
        // Writing to a String cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    Ok(Secret::new(std::mem::take(&mut *token)))
}

/// The endpoint of one mount. Ends when dropped, with all its connections; [`Endpoint::stop`] also
/// waits until its address is free.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    trouble: Arc<Mutex<Option<String>>>,
    serving: JoinHandle<()>,
}

impl Endpoint {
    /// Serves requests at `address` that show `token`, with `listener` if that was bound. Without
    /// one it tries to bind until it can, and meanwhile tells why it does not serve.
    pub fn start(
        address: SocketAddr,
        token: Secret,
        service: Arc<CurrentService>,
        listener: io::Result<TcpListener>,
    ) -> Self {
        let trouble = Arc::new(Mutex::new(None));
        let desk = Desk::new(address, token, service);
        let (listener, told) = match listener {
            Ok(listener) => (Some(listener), None),
            Err(error) => (None, Some(cannot_listen(address, &error))),
        };
        trouble.lock().clone_from(&told);
        let serving = tokio::spawn(serve(address, desk, listener, trouble.clone()));
        Self { address, trouble, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Why it does not serve at present, if so.
    pub fn trouble(&self) -> Arc<Mutex<Option<String>>> {
        self.trouble.clone()
    }

    /// Ends it; when this returns, the address is free.
    pub async fn stop(mut self) {
        self.serving.abort();
        // How it ended makes no difference.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Listens at `address`. A connection that lingers from an earlier daemon is no obstacle
/// (`SO_REUSEADDR`, socket(7)).
///
/// # Errors
/// If another program listens there, or the address is not one of this machine.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// What to say of an address that cannot be listened on.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: choose another port, or end that program"
        }
        io::ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose another address",
    };
    format!("the endpoint cannot listen on {address}: {error}; {remedy}")
}

async fn serve(
    address: SocketAddr,
    desk: Arc<Desk>,
    mut listener: Option<TcpListener>,
    trouble: Arc<Mutex<Option<String>>>,
) {
    let listener = loop {
        if let Some(listener) = listener.take() {
            break listener;
        }
        sleep(BIND_AGAIN).await;
        match listen(address).await {
            Ok(bound) => listener = Some(bound),
            Err(error) => *trouble.lock() = Some(cannot_listen(address, &error)),
        }
    };
    *trouble.lock() = None;
    tracing::info!(%address, "the endpoint listens");
    server::accept(listener, desk).await;
}

const TOKEN_BYTES: usize = 32;

/// How long until an address that is in use is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);
