//! Installing and uninstalling while the installed program serves a mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scripts::{Home, Said};
use crate::support::{Scene, fuse_available, program};

/// The program without what debuggers need, which is most of a debug build.
pub(super) fn small_program(to: &Path) -> PathBuf {
    let built = program("credmount", env!("CARGO_BIN_EXE_credmount"));
    let mut objcopy = Command::new("objcopy");
    let stripped = objcopy.arg("--strip-debug").arg(&built).arg(to).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(&built, to).expect("a copy");
    }
    to.to_owned()
}

#[test]
fn a_mount_outlives_an_upgrade_and_is_only_ended_on_demand() {
    if !fuse_available() {
        return;
    }
    let home = Home::new();
    let binary = small_program(&home.beside("small"));
    home.run("install", &["--binary", "small"]);
    let scene = Scene::elsewhere(vec!["env".into()], home.path(".local/bin/credmount"));
    let daemon = scene.mount_prod();
    let key = daemon.credentials();

    // The next version: another file with other bytes.
    let mut bytes = fs::read(&binary).unwrap();
    bytes.extend(b"next");
    fs::write(&binary, bytes).unwrap();
    let said = home.run("install", &["--binary", "small"]);
    assert!(said.ok(), "{said:?}");
    let exe = fs::read_link(format!("/proc/{}/exe", daemon.pid())).unwrap();
    assert!(exe.to_string_lossy().ends_with(" (deleted)"), "goes on with its own: {exe:?}");
    assert_eq!(daemon.credentials(), key);

    let before = home.all_below("home");
    let script = home.script("uninstall", &[]);
    // As it is for an ordinary user: the program of a daemon is a secret of root's.
    let mut blind = home.command("setpriv");
    blind.arg("--bounding-set=-sys_ptrace").arg(script.get_program());
    for mut uninstall in [script, blind] {
        let said = Said::of(&mut uninstall);
        assert_eq!(said.code, Some(1), "{said:?}");
        let process = format!("process {}", daemon.pid());
        for words in ["nothing was removed", &process, daemon.argument()] {
            assert!(said.err.contains(words), "{words}: {said:?}");
        }
    }
    assert_eq!(home.all_below("home"), before);
    assert_eq!(daemon.credentials(), key);

    let said = Said::of(&mut home.script("uninstall", &["--stop"]));
    assert!(said.ok(), "{said:?}");
    assert!(!crate::support::daemon::is_mounted(&daemon.mountpoint));
    assert!(home.all_below("home").is_empty());
}
