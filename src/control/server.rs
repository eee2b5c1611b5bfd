//! The daemon's side of the control socket.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, process};

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{LONGEST_LINE, Request, Response};
use crate::broker::BoxFuture;

/// What can be asked of a daemon.
pub trait Controlled: Debug + Send + Sync + 'static {
    /// Does what is asked and answers.
    fn handle(&self, request: Request) -> BoxFuture<'_, Response>;
}

/// A bound socket; removed when dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Held by each conversation until its end.
    talking: mpsc::Sender<()>,
}

/// The conversations under way.
#[derive(Debug)]
pub struct Conversations(mpsc::Receiver<()>);

impl Conversations {
    /// Returns when, the server having been dropped, the last answer is written.
    pub async fn ended(&mut self) {
        while self.0.recv().await.is_some() {}
    }
}

impl Server {
    /// Binds the socket, replacing one that a killed daemon left. Where it is named after this
    /// process, those of killed ones before it are removed, or they would add up.
    ///
    /// # Errors
    /// As bind(2); `AddrInUse` if a live daemon listens there.
    pub fn bind(path: &Path) -> io::Result<(Self, Conversations)> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        remove_predecessors(path);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let (talking, conversations) = mpsc::channel(1);
        let server = Self { listener, path: path.to_owned(), talking };
        Ok((server, Conversations(conversations)))
    }

    /// Answers for ever.
    pub async fn run(&self, controlled: Arc<dyn Controlled>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (controlled, talking) = (controlled.clone(), self.talking.clone());
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, &*controlled).await {
                            tracing::debug!(%error, "control connection failed");
                        }
                        drop(talking);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A socket left behind is recognised as dead by whoever finds it.
        let _ = fs::remove_file(&self.path);
    }
}

async fn converse(mut stream: UnixStream, controlled: &dyn Controlled) -> io::Result<()> {
    // The directory keeps others out already; this holds if somebody opened it.
    let peer = stream.peer_cred()?.uid();
    let answer = if peer != geteuid().as_raw() && peer != 0 {
        Response::Failed(format!("uid {peer} may not control this daemon"))
    } else {
        // It may hold an MFA code.
        let mut line = Zeroizing::new(Vec::new());
        let mut request = BufReader::new((&mut stream).take(LONGEST_LINE));
        timeout(PEER_DEADLINE, request.read_until(b'\n', &mut line)).await??;
        match serde_json::from_slice(&line) {
            Ok(request) => controlled.handle(request).await,
            Err(error) => Response::Failed(format!("not a request: {error}")),
        }
    };
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    timeout(PEER_DEADLINE, stream.write_all(&answer)).await?
}

/// A client sends its line at once, and reads the answer at once.
const PEER_DEADLINE: Duration = Duration::from_secs(5);

/// Out of descriptors: others may be closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Removes the sockets at which nobody listens and whose names differ from this one in the number of
/// the process alone: no daemon will ever bind them again.
fn remove_predecessors(path: &Path) {
    let own = format!("-{}.sock", process::id());
    let name = path.file_name().and_then(OsStr::to_str);
    let Some(stem) = name.and_then(|name| name.strip_suffix(&own)) else { return };
    let is_alike = |other: &str| {
        let number = other.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
        let number = number.and_then(|rest| rest.strip_suffix(".sock"));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let Some(Ok(entries)) = path.parent().map(fs::read_dir) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(is_alike) {
            continue;
        }
        let connected = std::os::unix::net::UnixStream::connect(entry.path());
        if connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn sockets_of_killed_processes_go_and_all_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let dead = ["config-1.sock", "live.sock", "config-other-1.sock"].map(at);
        for path in &dead {
            drop(UnixListener::bind(path).unwrap());
        }
        let _live = UnixListener::bind(at("config-2.sock")).unwrap();
        let own = at(&format!("config-{}.sock", process::id()));
        let _server = Server::bind(&own).unwrap();
        assert!(!dead[0].exists());
        assert!(dead[1].exists() && dead[2].exists());
        assert!(at("config-2.sock").exists() && own.exists());
    }
}
