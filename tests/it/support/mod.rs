//! What the tests of real mounts share: a daemon on a fresh directory against an emulator of its
//! own. Dropping it ends the daemon and removes the mount, whatever the test did.

pub(crate) mod address;
pub(crate) mod daemon;
pub(crate) mod fleet;
pub(crate) mod flows;
pub(crate) mod namespace;
pub(crate) mod reader;
pub(crate) mod records;
pub(crate) mod script;
pub(crate) mod wait;

pub(crate) use address::free_address;
pub(crate) use daemon::{Daemon, Scene, arn, program, unmount_lazily};
pub(crate) use wait::{eventually, wait_for};

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Whether FUSE mounts can be made here. Says so loudly if not: the test then proves nothing.
pub(crate) fn fuse_available() -> bool {
    let reason = if std::fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        "/dev/fuse cannot be opened"
    } else if std::process::Command::new("fusermount3").arg("-V").output().is_err() {
        "fusermount3 is not installed"
    } else {
        return true;
    };
    skipped(reason);
    false
}

/// Notes that a test could not run: on stderr, and in the file that `scripts/test` counts.
pub(crate) fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
    if let Some(list) = variable("CREDMOUNT_TEST_SKIPPED") {
        // nextest runs each test on the main thread of a process; libtest names a thread after it.
        let test = variable("NEXTEST_TEST_NAME").and_then(|name| name.into_string().ok());
        let test = test.or_else(|| std::thread::current().name().map(str::to_owned));
        let test = test.unwrap_or_default();
        let list = std::fs::File::options().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(format!("{test}: {reason}\n").as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

/// A variable that tells tests where things are; an empty one is none.
#[expect(clippy::disallowed_methods, reason = "tests are told by variables where things are")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The whole content of a file, read as most clients do: open, fstat, read to the end.
pub(crate) fn read_with_size(path: &Path) -> (String, u64) {
    use std::io::Read;
    let mut file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let size = file.metadata().expect("fstat").len();
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    (text, size)
}

/// The value of a key in a section of an INI file.
pub(crate) fn ini_value(text: &str, section: &str, key: &str) -> Option<String> {
    let head = format!("[{section}]");
    let lines = text.lines().skip_while(|line| *line != head).skip(1);
    let mut own = lines.take_while(|line| !line.starts_with('['));
    own.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ").map(str::to_owned))
}

/// Longer than anything should take, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
