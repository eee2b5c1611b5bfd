//! What outlives the daemon: the service manager that starts it again, and the connections of its
//! mounts that the manager kept meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::stdio::dup2_stdin;

use crate::fuse::{Connections, Shape};
use crate::os::manager::{Kept, Manager, from_supervisor, from_systemd};

/// The service manager of this process and what it kept. Without one, nothing.
#[derive(Debug, Default)]
pub(super) struct Lifeline {
    pub(super) manager: Option<Arc<Manager>>,
    kept: Kept,
    /// Whether another process unmounts after this one was stopped.
    pub(super) mounts_stay: bool,
    /// The manager kills a process that is silent for so long.
    pub(super) watchdog: Option<Duration>,
    /// The unit, if it is known.
    pub(super) unit: Option<String>,
}

impl Lifeline {
    /// That of a process which systemd may have started, as its environment says. To be called
    /// before anything else is opened.
    pub(super) fn of_environment() -> Self {
        let kept = from_systemd(
            &variable("LISTEN_PID"),
            &variable("LISTEN_FDS"),
            &variable("LISTEN_FDNAMES"),
        );
        let address = variable("NOTIFY_SOCKET");
        let manager = if address.is_empty() { None } else { Manager::systemd(&address).ok() };
        let ours = [String::new(), std::process::id().to_string()];
        let watchdog = variable("WATCHDOG_USEC").parse().ok().map(Duration::from_micros);
        let watchdog = watchdog.filter(|_| ours.contains(&variable("WATCHDOG_PID")));
        Self { manager: manager.map(Arc::new), kept, watchdog, ..Self::default() }
    }

    /// That of a process which `--supervise` started, with the supervisor at stdin.
    ///
    /// # Errors
    /// If the supervisor is gone already.
    pub(super) fn of_supervisor() -> Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned().context("the supervisor's socket")?;
        // Children, such as a credential_process, have stdin in common with us by default.
        let null = File::open("/dev/null").context("opening /dev/null")?;
        dup2_stdin(&null).context("leaving stdin")?;
        let kept = from_supervisor(socket.as_fd()).context("listening to the supervisor")?;
        let manager = Some(Arc::new(Manager::supervisor(socket)));
        Ok(Self { manager, kept, watchdog: Some(WATCHDOG), ..Self::default() })
    }

    /// That of a service whose unit unmounts after it was stopped.
    pub(super) fn of_unit(self, unit: &str) -> Self {
        Self { mounts_stay: true, unit: Some(unit.to_owned()), ..self }
    }

    /// How the mount with this [stem](crate::os::paths::mount_stem) was made, if its connections
    /// are kept.
    pub(super) fn shape_of(&self, stem: &str) -> Option<Shape> {
        let kept = SHAPES.iter().find(|(suffix, _)| self.kept.contains_key(&name(stem, suffix)));
        kept.map(|(_, shape)| *shape)
    }

    /// Takes the connections of the mount with this [stem](crate::os::paths::mount_stem), and how
    /// it was made.
    pub(super) fn take(&mut self, stem: &str) -> Option<(Shape, Connections)> {
        let shape = SHAPES.iter().find(|(suffix, _)| self.kept.contains_key(&name(stem, suffix)));
        let (suffix, shape) = shape?;
        let tree = self.kept.remove(&name(stem, suffix))?;
        let keys = self.kept.remove(&name(stem, KEYS));
        Some((*shape, Connections { tree, keys }))
    }

    /// Whether the manager kept anything.
    pub(super) fn is_in_use(&self) -> bool {
        !self.kept.is_empty()
    }

    /// The names of what was kept and nobody took.
    pub(super) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.kept).into_keys().collect()
    }
}

/// The service manager's variable; empty if it is missing.
#[expect(clippy::disallowed_methods, reason = "read before anything else is opened")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The names under which the connections of a mount are kept.
pub(super) fn names<'a>(
    stem: &str,
    shape: Shape,
    connections: &'a Connections,
) -> Vec<(String, BorrowedFd<'a>)> {
    let suffix = SHAPES.iter().find(|(_, it)| *it == shape.resolved());
    let suffix = suffix.map_or(READ_ONLY, |(suffix, _)| *suffix);
    let mut names = vec![(name(stem, suffix), connections.tree.as_fd())];
    names.extend(connections.keys.as_ref().map(|keys| (name(stem, KEYS), keys.as_fd())));
    names
}

/// The names under which anything of a mount with this stem can be kept, however it was made.
pub(super) fn all_names(stem: &str) -> impl Iterator<Item = String> {
    let suffixes = SHAPES.iter().map(|(suffix, _)| *suffix).chain([KEYS]);
    suffixes.map(move |suffix| name(stem, suffix))
}

fn name(stem: &str, suffix: &str) -> String {
    format!("{stem}.{suffix}")
}

const READ_ONLY: &str = "ro";
const KEYS: &str = "keys";

/// What the name of a connection to a tree says of its mount.
const SHAPES: [(&str, Shape); 4] = [
    (READ_ONLY, Shape { allow_other: false, writable: Some(false) }),
    ("rw", Shape { allow_other: false, writable: Some(true) }),
    ("ro-others", Shape { allow_other: true, writable: Some(false) }),
    ("rw-others", Shape { allow_other: true, writable: Some(true) }),
];

/// How long a supervised daemon may be silent.
pub(super) const WATCHDOG: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn what_is_kept_under_its_names_is_taken_again() {
        for (_, shape) in SHAPES {
            for keys in [None, Some(null())] {
                let made = Connections { tree: null(), keys };
                let kept = names("live-1", shape, &made)
                    .into_iter()
                    .map(|(name, fd)| (name, fd.try_clone_to_owned().unwrap()));
                let mut lifeline = Lifeline { kept: kept.collect(), ..Lifeline::default() };
                assert!(lifeline.take("live-2").is_none());
                assert_eq!(lifeline.shape_of("live-1"), Some(shape));
                let (found, connections) = lifeline.take("live-1").unwrap();
                assert_eq!(found, shape);
                assert_eq!(connections.keys.is_some(), made.keys.is_some());
                assert!(lifeline.rest().is_empty());
            }
        }
    }

    #[test]
    fn keys_without_their_tree_are_left_over() {
        let kept = Kept::from([("live-1.keys".to_owned(), null())]);
        let mut lifeline = Lifeline { kept, ..Lifeline::default() };
        assert!(lifeline.take("live-1").is_none());
        assert_eq!(lifeline.rest(), ["live-1.keys"]);
    }
}
