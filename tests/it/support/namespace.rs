//! Readers in mount namespaces of their own, as containers are.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::Scene;

/// `command`, run where each `(source, target)` is bound. Targets are made here; an ordinary user
/// gets a user namespace to be allowed to bind.
pub(crate) fn in_mount_namespace(
    scene: &Scene,
    binds: &[(PathBuf, PathBuf)],
    command: &Command,
) -> Command {
    let mut script = String::from("set -e\n");
    for (source, target) in binds {
        if fs::metadata(source).expect("a source to bind").is_dir() {
            fs::create_dir_all(target).expect("a target");
        } else {
            fs::File::options().append(true).create(true).open(target).expect("a target");
        }
        writeln!(script, "mount --bind '{}' '{}'", source.display(), target.display())
            .expect("a String takes everything");
    }
    script += "exec \"$@\"";
    let mut unshare = scene.command("unshare");
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["sh", "-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    unshare
}
