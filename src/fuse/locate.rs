//! Where a reader sees our mount.

use parking_lot::Mutex;

use crate::open::LocateMount;
use crate::os::mountinfo::{self, MountEntry};
use crate::render::ReaderPath;

/// Finds our mount in the reader's own mount namespace. Knows nothing until it is told the
/// device of the mount.
#[derive(Debug, Default)]
pub struct OwnMount {
    entry: Mutex<Option<MountEntry>>,
}

impl OwnMount {
    /// Sets the mount to look for.
    pub fn set(&self, entry: MountEntry) {
        *self.entry.lock() = Some(entry);
    }
}

impl LocateMount for OwnMount {
    fn seen_by(&self, tid: u32) -> Option<ReaderPath> {
        let own = self.entry.lock().clone()?;
        // 0: a process outside our pid namespace.
        let seen = if tid == 0 { return None } else { mountinfo::of_thread(tid).ok()? };
        choose(&own, &seen)
    }
}

/// The directory of the whole mount: where the daemon mounted it, if the reader sees it there
/// too, else the first place. A place that a later mount covers is none.
fn choose(own: &MountEntry, seen: &[MountEntry]) -> Option<ReaderPath> {
    let covered = |index: usize| {
        seen[index + 1..].iter().any(|later| later.mountpoint == seen[index].mountpoint)
    };
    let mut places = seen.iter().enumerate().filter(|(index, entry)| {
        entry.device == own.device && entry.root == b"/" && !covered(*index)
    });
    let at_home = places.clone().find(|(_, entry)| entry.mountpoint == own.mountpoint);
    let (_, entry) = at_home.or_else(|| places.next())?;
    ReaderPath::parse(&String::from_utf8_lossy(&entry.mountpoint)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seen: &[(&str, &str, &str)], expected: Option<&str>) {
        let entry = |(device, root, mountpoint): &(&str, &str, &str)| MountEntry {
            device: (*device).to_owned(),
            root: root.as_bytes().to_vec(),
            mountpoint: mountpoint.as_bytes().to_vec(),
            fstype: mountinfo::FSTYPE.to_owned(),
        };
        let own = entry(&("0:51", "/", "/home/me/.aws-live"));
        let seen: Vec<_> = seen.iter().map(entry).collect();
        assert_eq!(choose(&own, &seen).map(|path| path.as_str().to_owned()).as_deref(), expected);
    }

    #[test]
    fn a_container_sees_its_own_path() {
        check(&[("0:40", "/", "/"), ("0:51", "/", "/root/.aws")], Some("/root/.aws"));
    }

    #[test]
    fn the_mount_point_is_preferred_to_other_places() {
        let seen = [("0:51", "/", "/srv/x"), ("0:51", "/", "/home/me/.aws-live")];
        check(&seen, Some("/home/me/.aws-live"));
    }

    #[test]
    fn a_bind_of_a_part_tells_nothing() {
        check(&[("0:51", "/credentials", "/root/.aws/credentials")], None);
        check(&[("0:99", "/", "/home/me/.aws-live")], None);
    }

    #[test]
    fn a_place_that_another_mount_covers_is_not_told() {
        let covered = ("0:60", "/", "/home/me/.aws-live");
        let seen = [("0:51", "/", "/home/me/.aws-live"), ("0:51", "/", "/root/.aws"), covered];
        check(&seen, Some("/root/.aws"));
    }

    #[test]
    fn a_path_that_cannot_be_quoted_is_not_used() {
        check(&[("0:51", "/", "/srv/o'clock")], None);
    }
}
