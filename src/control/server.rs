//! The daemon's side of the control socket.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process};
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
    /// Binds the socket, replacing one that a killed daemon left. Those that killed daemons named
    /// after their process are removed, or they would add up.
    ///
    /// # Errors
    /// As bind(2); `AddrInUse` if a live daemon listens there.
    pub fn bind(path: &Path) -> io::Result<(Self, Conversations)> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        if let Some(directory) = path.parent() {
            remove_those_of_the_dead(directory);
        }
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

/// Removes the sockets in a directory that have the number of a process in their names which is no
/// more, as those of a configuration have.
fn remove_those_of_the_dead(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let is_dead = owner(&path).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
        // In another PID namespace it may be alive.
        if is_dead && std::os::unix::net::UnixStream::connect(&path).is_err() {
            let _ = fs::remove_file(path);
        }
    }
}

/// The process that a socket is named after.
fn owner(path: &Path) -> Option<Pid> {
    let (_, pid) = path.to_str()?.strip_suffix(".sock")?.rsplit_once('-')?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Out of descriptors: others may be closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    /// A socket named after a mount is that of the next daemon, perhaps at this moment.
    #[tokio::test]
    async fn a_new_socket_clears_away_those_of_dead_processes_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let sockets = [format!("it-{}", ended.id()), format!("it-{}", id()), "it-ab12".to_owned()];
        let sockets = sockets.map(|stem| dir.path().join(stem + ".sock"));
        for socket in &sockets {
            fs::write(socket, "").unwrap();
        }
        let _bound = Server::bind(&dir.path().join("new.sock")).unwrap();
        assert_eq!(sockets.map(|socket| socket.exists()), [false, true, true]);
    }
}
