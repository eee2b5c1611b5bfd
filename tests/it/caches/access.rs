//! The writable directories of a mount that is open to other users, under its rules.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::mount;
use crate::support::daemon::arn;
use crate::support::namespace::{Bind, bound};
use crate::support::{Daemon, Scene, skipped};

const ALLOWED: u32 = 64_001;
const REFUSED: u32 = 64_002;
const STRANGER: u32 = 64_003;

/// What each of these commands says to a user, the current directory being the mount.
fn says(scene: &Scene, daemon: &Daemon<'_>, uid: u32, commands: &[&str]) -> Vec<String> {
    // The directories above are private, so the mount is bound where anybody can go.
    let open = tempfile::Builder::new().prefix("credmount-open-").tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let aws = open.path().join("aws");
    let mut script = vec!["cd \"$0\" || exit 1".to_owned()];
    let told = |command: &&str| format!("({command}) 2>&1 | tr '\\n' ' '; echo");
    script.extend(commands.iter().map(told));
    let mut shell = Command::new("setpriv");
    let user = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()];
    shell.args(user).args(["sh", "-c", &script.join("\n")]).arg(&aws);
    let binds = [(daemon.mountpoint.clone(), aws)];
    let output = bound(scene, Bind::Recursive, &binds, &shell).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = lines.lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(lines.len(), commands.len(), "{lines:?}");
    lines
}

/// Mounts, opened by these rules; a session is kept in it.
fn opened<'a>(scene: &'a Scene, more: &[&str], rules: &[&str]) -> Option<Daemon<'a>> {
    if !rustix::process::geteuid().is_root() {
        skipped("becoming another user needs root");
        return None;
    }
    let rules = rules.iter().flat_map(|rule| ["--allow", rule]);
    let arguments: Vec<&str> = std::iter::once("--allow-other").chain(rules).collect();
    let daemon = mount(scene, &[more, &arguments].concat());
    fs::create_dir(daemon.file("cli/cache")).unwrap();
    fs::write(daemon.file("cli/cache/session"), "kept").unwrap();
    Some(daemon)
}

const OPERATIONS: [&str; 11] = [
    "cat cli/cache/session",
    "ls cli/cache",
    "echo x > cli/cache/new",
    "echo x >> cli/cache/session",
    "echo x > cli/cache/session",
    "mkdir cli/directory",
    "mv cli/cache/session cli/cache/other",
    "rm -f cli/cache/session",
    "rmdir cli/cache",
    "chmod 644 cli/cache/session",
    "truncate -s 0 cli/cache/session",
];

/// Clients keep sessions there that they got by any role, and use what they find. A reader of some
/// roles would read what others got by the rest, or make them use keys of its own.
#[test]
fn who_may_read_some_roles_only_may_not_use_the_caches() {
    let Some(scene) = Scene::mountable() else { return };
    let some = format!("uid={ALLOWED},roles=dev");
    let dev = format!("dev={}", arn("dev"));
    let Some(daemon) = opened(&scene, &["--role", &dev], &[&some]) else { return };
    let said = says(&scene, &daemon, ALLOWED, &["cat credentials"]);
    assert!(said[0].contains("[dev]") && !said[0].contains("[prod]"), "{said:?}");
    let said = says(&scene, &daemon, ALLOWED, &OPERATIONS);
    assert!(said.iter().all(|line| line.contains("Permission denied")), "{said:#?}");
    assert_eq!(fs::read_to_string(daemon.file("cli/cache/session")).unwrap(), "kept");
}

#[test]
fn who_may_read_nothing_may_not_use_the_caches() {
    let Some(scene) = Scene::mountable() else { return };
    let rules = [format!("uid={ALLOWED}"), format!("uid={REFUSED},roles=")];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let Some(daemon) = opened(&scene, &[], &rules) else { return };
    for uid in [STRANGER, REFUSED] {
        let said = says(&scene, &daemon, uid, &["cat credentials", "cat config"]);
        assert!(said.iter().all(|line| line.contains("Permission denied")), "{uid}: {said:#?}");
        let said = says(&scene, &daemon, uid, &OPERATIONS);
        let refused = said.iter().zip(OPERATIONS);
        let let_in: Vec<_> = refused.filter(|(it, _)| !it.contains("Permission denied")).collect();
        assert!(let_in.is_empty(), "{uid}: {let_in:#?}");
    }
    assert_eq!(fs::read_to_string(daemon.file("cli/cache/session")).unwrap(), "kept");
    assert_eq!(fs::read_dir(daemon.file("cli")).unwrap().count(), 1);

    let all = [
        "cat cli/cache/session",
        "ls cli/cache",
        "echo x > cli/cache/new && mkdir cli/d && mv cli/cache/new cli/d/ && cat cli/d/new",
        "rm -r cli/d && chmod 644 cli/cache/session && ls cli",
    ];
    let said = says(&scene, &daemon, ALLOWED, &all);
    assert_eq!(said, ["kept", "session", "x", "cache"]);
}
