//! What readers in other namespaces see: the path of the mount, and who is refused.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::daemon::{arn, is_mounted};
use crate::support::namespace::{in_mount_namespace, namespaces_available};
use crate::support::{Scene, eventually, ini_value, skipped, unmount_lazily};

/// The directory that `config` names to a reader that prints the file.
fn path_told(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let command = ini_value(&text, "profile prod@live", "credential_process").unwrap();
    let path = command.strip_prefix("cat ").unwrap().trim_matches('"');
    path.strip_suffix("/credmount/process/prod.json").unwrap().to_owned()
}

#[test]
fn config_names_the_path_that_each_reader_sees() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let daemon = scene.mount_prod();
    let host = path_told(Command::new("cat").arg(daemon.file("config")).output().unwrap());
    assert_eq!(host, daemon.argument());
    for target in ["container-a/.aws", "container b/.aws"] {
        let bound = scene.path(target);
        let mut cat = Command::new("cat");
        cat.arg(bound.join("config"));
        // The mount point itself is hidden, as it is in a container.
        let empty = scene.path("empty");
        fs::create_dir_all(&empty).unwrap();
        let binds =
            [(daemon.mountpoint.clone(), bound.clone()), (empty, daemon.mountpoint.clone())];
        let mut reader = in_mount_namespace(&scene, &binds[..1], &cat);
        let told = path_told(reader.output().unwrap());
        // Where it is seen at the mount point too, that is the path told.
        assert_eq!(told, daemon.argument());
        let mut reader = in_mount_namespace(&scene, &binds, &cat);
        assert_eq!(path_told(reader.output().unwrap()), bound.to_str().unwrap());
    }
}

#[test]
fn the_path_that_config_names_can_be_read_by_that_reader() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let daemon = scene.mount_prod();
    let bound = scene.path("root/.aws");
    let mut run = Command::new("sh");
    let script = "$(sed -n '/prod@live/,$s/credential_process = //p' \"$1/config\" | head -n1)";
    run.args(["-c", script, "sh"]).arg(&bound);
    let mut reader = in_mount_namespace(&scene, &[(daemon.mountpoint.clone(), bound)], &run);
    let output = reader.output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["Version"], 1);
}

#[test]
fn reader_path_overrides_what_is_found() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount(&["--role", &arn("prod"), "--reader-path", "/root/.aws"]);
    let told = path_told(Command::new("cat").arg(daemon.file("config")).output().unwrap());
    assert_eq!(told, "/root/.aws");
}

#[test]
fn a_reader_that_the_daemon_cannot_see_is_told_the_mount_point() {
    if !rustix::process::geteuid().is_root() {
        return skipped("a pid namespace without a user namespace needs root");
    }
    let Some(scene) = Scene::mountable() else { return };
    let mountpoint = scene.path("live");
    let mut daemon = scene.command("unshare");
    daemon
        .env("AWS_ACCESS_KEY_ID", scene.emulator.base_access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", scene.emulator.base_secret_access_key())
        .args(["--pid", "--fork", "--kill-child=TERM", env!("CARGO_BIN_EXE_credmount")])
        .args(["--role", &arn("prod")])
        .arg(&mountpoint)
        .stderr(Stdio::null());
    let mut daemon = daemon.spawn().unwrap();
    eventually("the mount", || is_mounted(&mountpoint));
    let output = Command::new("cat").arg(mountpoint.join("config")).output().unwrap();
    scene.run(&["unmount", mountpoint.to_str().unwrap()]);
    let ended = daemon.wait();
    if is_mounted(&mountpoint) {
        unmount_lazily(&mountpoint);
    }
    assert_eq!(path_told(output), mountpoint.to_str().unwrap());
    assert!(ended.unwrap().success());
}

#[test]
fn a_bound_file_follows_renewals() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let daemon = scene.mount_prod();
    let (source, target) = (daemon.file("credentials"), scene.path("credentials"));
    let mut cat = Command::new("sh");
    // Reads, waits for a line, reads again: both in one namespace.
    cat.args(["-c", "cat \"$1\"; echo; echo between; read _; cat \"$1\"", "sh"]).arg(&target);
    let mut reader = in_mount_namespace(&scene, &[(source, target)], &cat);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(reader.stdout.take().unwrap());
    let (mut first, mut second) = (String::new(), String::new());
    while !first.ends_with("between\n") {
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut first).unwrap(), 0);
    }
    daemon.refresh();
    std::io::Write::write_all(&mut reader.stdin.take().unwrap(), b"\n").unwrap();
    std::io::Read::read_to_string(&mut out, &mut second).unwrap();
    assert!(reader.wait().unwrap().success());
    let key = |text: &str| ini_value(text, "prod", "aws_access_key_id").unwrap();
    assert_ne!(key(&first), key(&second));
    assert_eq!(key(&second), key(&daemon.credentials()));
}

#[test]
fn other_users_are_refused_by_the_kernel() {
    if !rustix::process::geteuid().is_root() {
        return skipped("becoming another user needs root");
    }
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let path = daemon.file("credentials");
    let other = ["--reuid=65534", "--regid=65534", "--clear-groups", "cat"];
    // The directories above are private too, so the mount is bound where anybody can go.
    let open = tempfile::Builder::new().prefix("credmount-open-").tempdir().unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(open.path(), permissions).unwrap();
    let bound = open.path().join("aws");
    let mut cat = Command::new("setpriv");
    cat.args(other).arg(bound.join("credentials"));
    let bind = [(daemon.mountpoint.clone(), bound)];
    let output = in_mount_namespace(&scene, &bind, &cat).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
    assert!(path.exists());
}

#[test]
fn container_root_of_a_user_namespace_may_read() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let daemon = scene.mount_prod();
    let output = scene
        .command("unshare")
        .args(["--user", "--map-root-user", "cat"])
        .arg(daemon.file("credentials"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("[prod]"));
}
