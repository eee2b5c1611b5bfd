//! How mounts with writable directories begin and end: what is left, and what is forgotten.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::{has_key_mount, mount, mounted};
use crate::support::daemon::{arn, is_mounted};
use crate::support::{Daemon, Scene, eventually, ini_value, read_with_size, unmount_lazily};

fn keep(daemon: &Daemon<'_>, text: &str) {
    fs::create_dir(daemon.file("cli/cache")).unwrap();
    fs::write(daemon.file("cli/cache/session.json"), text).unwrap();
}

#[track_caller]
fn serves_and_is_empty(daemon: &Daemon<'_>) {
    assert!(ini_value(&daemon.credentials(), "prod", "aws_access_key_id").is_some());
    assert_eq!(fs::read_dir(daemon.file("cli")).unwrap().count(), 0);
}

#[test]
fn the_keys_have_a_mount_of_their_own_where_that_can_be_made() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mount(&scene, &[]);
    let mut expected = vec![daemon.mountpoint.clone()];
    expected.extend(has_key_mount().then(|| daemon.file("credentials")));
    assert_eq!(mounted(&scene), expected);
    keep(&daemon, "kept");
    let (text, size) = read_with_size(&daemon.file("credentials"));
    assert_eq!(text.len() as u64, size);
    daemon.refresh();
    assert_ne!(daemon.credentials(), text);
    assert_eq!(fs::read_to_string(daemon.file("cli/cache/session.json")).unwrap(), "kept");
}

#[test]
fn an_unmount_leaves_nothing_and_what_was_kept_is_forgotten() {
    let Some(scene) = Scene::mountable() else { return };
    let ways: [&dyn Fn(&Daemon<'_>); 3] = [
        &|daemon| assert!(scene.run(&["unmount", daemon.argument()]).status.success()),
        &|daemon| unmount_lazily(&daemon.mountpoint),
        &|daemon| daemon.signal(Signal::TERM),
    ];
    for way in ways {
        let daemon = mount(&scene, &[]);
        serves_and_is_empty(&daemon);
        keep(&daemon, "kept");
        way(&daemon);
        eventually("both mounts to go", || mounted(&scene).is_empty());
        assert_eq!(fs::read_dir(&daemon.mountpoint).unwrap().count(), 0);
        let all = || scene.run(&["status", "--json"]).stdout;
        eventually("the daemon to end", || all().trim_ascii() == b"[]");
    }
}

/// `fusermount3 -u` refuses to take a mount from below another one, as it refuses one in use.
#[test]
fn the_two_mounts_can_be_taken_off_one_by_one() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mount(&scene, &[]);
    let unmount = |path: &Path| {
        let output = Command::new("fusermount3").arg("-u").arg(path).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    if has_key_mount() {
        let (done, said) = unmount(&daemon.mountpoint);
        assert!(!done && said.contains("busy"), "{said}");
        assert!(unmount(&daemon.file("credentials")).0);
        // What was below serves the same keys.
        daemon.refresh();
        let (text, size) = read_with_size(&daemon.file("credentials"));
        assert_eq!(text.len() as u64, size);
        assert!(ini_value(&text, "prod", "aws_access_key_id").is_some());
    }
    let (done, said) = unmount(&daemon.mountpoint);
    assert!(done, "{said}");
    assert!(mounted(&scene).is_empty());
}

#[test]
fn what_a_killed_daemon_left_is_cleared_by_unmounting_or_mounting_again() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mount(&scene, &[]);
    keep(&daemon, "kept");
    let before = mounted(&scene);
    daemon.kill();
    assert!(File::open(daemon.file("credentials")).is_err(), "nobody is there to answer");
    assert_eq!(mounted(&scene), before, "nobody unmounts for a daemon that was killed");
    let again = mount(&scene, &[]);
    assert_eq!(mounted(&scene), before);
    serves_and_is_empty(&again);
    keep(&again, "kept");
    again.kill();
    assert!(scene.run(&["unmount", again.argument()]).status.success());
    assert!(mounted(&scene).is_empty());
}

#[test]
fn a_file_that_is_open_does_not_hold_the_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let first = mount(&scene, &[]);
    keep(&first, "kept");
    let path = first.file("cli/cache/session.json");
    let mut file = File::options().read(true).append(true).open(path).unwrap();
    assert!(scene.run(&["unmount", first.argument()]).status.success());
    assert!(mounted(&scene).is_empty());
    // The daemon stays a little while for those who still read.
    eventually("the file to end with the daemon", || file.write_all(b"more").is_err());

    let second = mount(&scene, &[]);
    serves_and_is_empty(&second);
    keep(&second, "new");
    assert!(file.read(&mut [0; 9]).is_err(), "the old file is not the new one");
}

#[test]
fn two_mounts_of_one_daemon_share_nothing_that_is_written() {
    let Some(scene) = Scene::mountable() else { return };
    let mount = |name: &str| {
        format!(
            "[mounts.{name}]\npath = \"ROOT/{name}\"\nroles = [\"prod\"]\nwritable_caches = true\n"
        )
    };
    let role = format!("[roles.prod]\nrole_arn = \"{}\"\n", arn("prod"));
    let fleet = scene.serve(&[role, mount("one"), mount("two")].concat());
    fs::write(scene.path("one/cli/session"), "of one").unwrap();
    assert_eq!(fs::read_dir(scene.path("two/cli")).unwrap().count(), 0);
    fs::write(scene.path("two/cli/session"), "of two").unwrap();
    assert_eq!(fleet.read("one", "cli/session"), "of one");
    assert_eq!(fleet.read("two", "credentials"), fleet.read("one", "credentials"));
    assert!(scene.run(&["unmount", scene.path("one").to_str().unwrap()]).status.success());
    assert!(!is_mounted(&scene.path("one")));
    assert_eq!(fleet.read("two", "cli/session"), "of two");
}

/// The kernel tells when it has forgotten a file, and only then is its space free.
#[test]
fn what_is_removed_or_replaced_makes_room() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mount(&scene, &[]);
    let free = || {
        let stat = rustix::fs::statvfs(daemon.file("cli")).unwrap();
        (stat.f_bfree * stat.f_frsize, stat.f_ffree)
    };
    let all = free();
    let forgotten = || eventually("the kernel to forget", || free() == all);
    let most = vec![b'x'; usize::try_from(all.0).unwrap() / 4 * 3];
    let (old, new) = (daemon.file("cli/old"), daemon.file("cli/new"));
    fs::write(&old, &most).unwrap();
    fs::remove_file(&old).unwrap();
    forgotten();
    fs::write(&old, &most[..most.len() / 2]).unwrap();
    fs::write(&new, &most[..most.len() / 2]).unwrap();
    fs::rename(&new, &old).unwrap();
    fs::remove_file(&old).unwrap();
    fs::create_dir(&old).unwrap();
    fs::remove_dir(&old).unwrap();
    forgotten();
}
