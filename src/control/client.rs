//! The commands' side of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{LONGEST_LINE, Request, Response};

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: there is no daemon, or it was killed.
    #[error("no daemon answers at {}", .0.display())]
    NoDaemon(PathBuf),
    /// The daemon listens but does not answer.
    #[error("the daemon at {} did not answer", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

impl ClientError {
    /// Whether the connection ended without an answer, as it does when the daemon ends.
    pub fn is_cut(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
    }
}

/// Sends one request and waits for its answer.
///
/// # Errors
/// See [`ClientError`].
pub fn ask(socket: &Path, request: &Request) -> Result<Response, ClientError> {
    let failed = |source: io::Error| ClientError::Io { path: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NoDaemon(socket.to_owned())
        }
        _ => failed(error),
    })?;
    let converse = || -> io::Result<Response> {
        let deadline = match request {
            Request::Status { .. } | Request::Metrics {} => STATUS_DEADLINE,
            _ => ANSWER_DEADLINE,
        };
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))?;
        // It may hold an MFA code.
        let mut line = Zeroizing::new(serde_json::to_vec(request)?);
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    converse().map_err(failed)
}

/// The sockets in the runtime directory behind which a daemon answers, in the order of their
/// names, each once whatever links lead to it. One that a killed daemon left is left alone: the next
/// daemon replaces it, perhaps at this moment, and would be out of reach if that were removed.
///
/// # Errors
/// If the directory cannot be read; a missing one is empty.
pub fn live_sockets(runtime_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(runtime_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut live = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_symlink() || path.extension().is_none_or(|extension| extension != "sock") {
            continue;
        }
        if UnixStream::connect(&path).is_ok() {
            live.push(path);
        }
    }
    live.sort();
    Ok(live)
}

/// A daemon answers this at once, unless it is stopped or the machine is badly overloaded.
const STATUS_DEADLINE: Duration = Duration::from_secs(10);

/// Longer than a flight may take, since `refresh` waits for one.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// The next daemon may have bound it between a look at it and its removal.
    #[test]
    fn a_socket_that_nobody_answers_at_is_not_listed_and_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (dead, live) = (dir.path().join("dead.sock"), dir.path().join("live.sock"));
        drop(UnixListener::bind(&dead).unwrap());
        let _listener = UnixListener::bind(&live).unwrap();
        assert_eq!(live_sockets(dir.path()).unwrap(), [live]);
        assert!(dead.exists());
    }

    #[test]
    fn a_daemon_that_ends_while_it_is_asked_is_told_from_one_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("it.sock");
        let ask = || ask(&socket, &Request::Status { mount: None }).unwrap_err();
        let error = ask();
        assert!(matches!(error, ClientError::NoDaemon(_)) && !error.is_cut(), "{error:?}");
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || drop(listener.accept()));
        let error = ask();
        assert!(error.is_cut(), "{error:?}");
        daemon.join().unwrap();
        assert!(matches!(ask(), ClientError::NoDaemon(_)));
    }
}
