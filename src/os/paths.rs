//! Where the daemon's own files are.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use rustix::process::geteuid;

use crate::fnv::fnv1a;

/// The directory of sockets and logs: `$XDG_RUNTIME_DIR/credmount`; without the variable
/// `/run/credmount` for root, below `/run/user/UID` for others, or in `/tmp` where there is neither.
pub fn runtime_dir(xdg_runtime_dir: Option<&str>) -> PathBuf {
    if let Some(dir) = xdg_runtime_dir.filter(|dir| dir.starts_with('/')) {
        return Path::new(dir).join("credmount");
    }
    let uid = geteuid();
    // Not below /run/user for root: that comes and goes with root's logins.
    if uid.is_root() {
        return PathBuf::from("/run/credmount");
    }
    let run = PathBuf::from(format!("/run/user/{}", uid.as_raw()));
    if run.is_dir() {
        return run.join("credmount");
    }
    PathBuf::from(format!("/tmp/credmount-{}", uid.as_raw()))
}

/// Makes the directory (0700) if it is missing.
///
/// # Errors
/// As mkdir; or if it is not a directory of this user alone, because whoever can write to it could
/// take the daemon's place.
pub fn make_private(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    check_private(dir)
}

/// Checks that the directory belongs to this user alone.
///
/// # Errors
/// If it does not, or does not exist.
pub fn check_private(dir: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(dir)?;
    if meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o777 == 0o700 {
        return Ok(());
    }
    let reason =
        format!("{} is not a directory that only its owner, you, can enter", dir.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

/// The places that opening `file` goes through: it, and where it is a symlink the targets one
/// after the other, each with the nearest directory above it that exists free of symlinks. Neither
/// the file nor a target has to exist.
pub fn steps(file: &Path) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut at = file.to_owned();
    for _ in 0..MOST_SYMLINKS {
        let above = at.ancestors().skip(1).find_map(|dir| dir.canonicalize().ok());
        steps.extend(above.clone());
        steps.push(at.clone());
        // A relative target is meant from the directory of the link.
        match (fs::read_link(&at), at.parent()) {
            (Ok(target), Some(parent)) => at = parent.join(target),
            _ => break,
        }
    }
    steps
}

/// The first of `mounts` that opening `path` leads through. Follows links as the kernel does, but
/// touches nothing in a mount: one that nobody serves would keep us waiting.
pub fn first_on_the_way<'a>(path: &Path, mounts: &'a [PathBuf]) -> Option<&'a Path> {
    let mut way = path.to_owned();
    for _ in 0..MOST_SYMLINKS {
        let mut at = PathBuf::new();
        let mut rest = way.components();
        let target = loop {
            match rest.next()? {
                Component::ParentDir => {
                    at.pop();
                }
                step => at.push(step),
            }
            if let Some(mount) = mounts.iter().find(|mount| **mount == at) {
                return Some(mount);
            }
            if let Ok(target) = fs::read_link(&at) {
                break target;
            }
        };
        // A relative target is meant from the directory of the link.
        at.pop();
        way = at.join(target).join(rest.as_path());
    }
    None
}

/// As many as the kernel follows (`path_resolution(7)`).
const MOST_SYMLINKS: usize = 40;

/// The stem of the names of a mount's socket and log: the mount point's last component, so that
/// people recognise it, and a hash of the whole path.
pub fn mount_stem(mountpoint: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let hash = fnv1a(mountpoint.as_os_str().as_bytes());
    let name = mountpoint.file_name().unwrap_or_default().to_string_lossy();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(32).collect();
    format!("{}-{hash:016x}", name.trim_start_matches('.'))
}

/// The control socket of the daemon that serves a mount point, or a link to it.
pub fn mount_socket(runtime_dir: &Path, mountpoint: &Path) -> PathBuf {
    runtime_dir.join(mount_stem(mountpoint) + ".sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_one_name_have_different_stems() {
        let a = mount_stem(Path::new("/home/a/.aws-live"));
        let b = mount_stem(Path::new("/home/b/.aws-live"));
        assert!(a.starts_with("aws-live-") && b.starts_with("aws-live-") && a != b);
        assert_eq!(a, mount_stem(Path::new("/home/a/.aws-live")));
    }

    #[test]
    fn symlinks_are_followed_also_where_they_lead_nowhere() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink(root.join("none/c"), root.join("b")).unwrap();
        let seen = steps(&root.join("a"));
        for place in ["a", "b", "none/c"] {
            assert!(seen.contains(&root.join(place)), "{place}: {seen:?}");
        }
        // A loop ends.
        symlink("loop", root.join("loop")).unwrap();
        assert!(steps(&root.join("loop")).len() <= 2 * MOST_SYMLINKS);
    }

    #[test]
    fn a_mount_is_found_on_the_way_through_links_and_is_not_touched() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("home/.aws")).unwrap();
        symlink("../live/./x/..", root.join("home/link")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        // A link within the mount, which nobody could read if it were a mount that hangs.
        fs::create_dir(root.join("live")).unwrap();
        symlink("/", root.join("live/sso")).unwrap();
        let mounts = [root.join("live")];
        let found = |path: &str| first_on_the_way(&root.join(path), &mounts);
        assert_eq!(found("live/sso/cache/f.json"), Some(mounts[0].as_path()));
        assert_eq!(found("home/link/sso"), Some(mounts[0].as_path()));
        assert_eq!(found("home/../live"), Some(mounts[0].as_path()));
        assert_eq!(found("home/.aws/sso/cache/f.json"), None);
        assert_eq!(found("lively"), None);
        assert_eq!(found("loop/x"), None);
    }

    #[test]
    fn a_runtime_directory_open_to_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("credmount");
        make_private(&private).unwrap();
        make_private(&private).unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o755)).unwrap();
        let error = make_private(&private).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
