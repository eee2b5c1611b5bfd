//! The daemon's side of the control socket.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{LONGEST_LINE, Request, Response, live_sockets};
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
    /// Binds the socket, replacing one that a killed daemon left. Others that killed daemons left in
    /// its directory are removed, or they would add up.
    ///
    /// # Errors
    /// As bind(2); `AddrInUse` if a live daemon listens there.
    pub fn bind(path: &Path) -> io::Result<(Self, Conversations)> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let _ = path.parent().map(live_sockets);
        // Who looks for daemons removes a socket at which nobody listens, as for a moment at a new
        // one. So that has its name only when it is listened at.
        let beside = path.with_extension("new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&beside)?;
        fs::rename(&beside, path)?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_new_socket_is_not_taken_for_that_of_a_killed_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let (path, is_over) = (dir.path().join("it.sock"), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = live_sockets(dir.path());
                }
            });
            let kept: Vec<bool> = (0..1000)
                .map(|_| {
                    let bound = Server::bind(&path).unwrap();
                    let is_there = path.exists();
                    drop(bound);
                    is_there
                })
                .collect();
            is_over.store(true, Ordering::Relaxed);
            assert!(kept.iter().all(|kept| *kept));
        });
    }
}
