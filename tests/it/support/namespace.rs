//! Readers in mount namespaces of their own, as containers are.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Scene, skipped};

/// Whether this user may bind mounts in a namespace of their own; some systems forbid it to
/// ordinary users. Says so loudly if not.
pub(crate) fn namespaces_available(scene: &Scene) -> bool {
    let home = scene.path("home");
    let tried = in_mount_namespace(scene, &[(home.clone(), home)], &Command::new("true")).output();
    let available = tried.is_ok_and(|tried| tried.status.success());
    if !available {
        skipped("this user may not make mount namespaces here");
    }
    available
}

/// Whether what is mounted below a directory is bound with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    Single,
    Recursive,
}

/// `command`, run where each `(source, target)` is bound alone.
pub(crate) fn in_mount_namespace(
    scene: &Scene,
    binds: &[(PathBuf, PathBuf)],
    command: &Command,
) -> Command {
    bound(scene, Bind::Single, binds, command)
}

/// `command`, run where each `(source, target)` is bound. Targets are made here; an ordinary user
/// gets a user namespace to be allowed to bind.
pub(crate) fn bound(
    scene: &Scene,
    how: Bind,
    binds: &[(PathBuf, PathBuf)],
    command: &Command,
) -> Command {
    let option = match how {
        Bind::Single => "--bind",
        Bind::Recursive => "--rbind",
    };
    let mut script = String::from("set -e\n");
    for (source, target) in binds {
        if fs::metadata(source).expect("a source to bind").is_dir() {
            fs::create_dir_all(target).expect("a target");
        } else {
            fs::File::options().append(true).create(true).open(target).expect("a target");
        }
        writeln!(script, "mount {option} '{}' '{}'", source.display(), target.display())
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
