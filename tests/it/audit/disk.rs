//! A disk that is full. Needs root, who may mount a small one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use super::MOUNTS;
use super::metrics::sample;
use crate::support::fleet::Fleet;
use crate::support::records::opens;
use crate::support::{Scene, skipped, unmount_lazily};

/// A file system of 64 KiB, removed at the end.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    fn mount(scene: &Scene) -> Option<Self> {
        let path = scene.path("disk");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "credmount-it"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(path));
        }
        skipped("only root may mount a small disk to fill");
        None
    }

    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write(&[b'x'; 1024]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", "--"]).arg(&self.0).output();
    }
}

/// Opens often enough that no space is left in what the log has, and tells how many were served.
fn opens_of(scene: &Scene, times: usize) -> usize {
    let open = |_: &usize| match File::open(scene.path("agent/credentials")) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            false
        }
    };
    (0..times).filter(open).count()
}

fn failures(scene: &Scene) -> u64 {
    let output = scene.run(&["status", "--prometheus"]);
    let text = String::from_utf8(output.stdout).unwrap();
    sample(&text, "credmount_audit_failures_total", &["mount=\"agent\""])
}

fn status_text(scene: &Scene) -> String {
    let output = scene.run(&["status"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn serve<'a>(scene: &'a Scene, on_failure: &str) -> Fleet<'a> {
    let config = MOUNTS.replace("ROOT/audit.jsonl", "ROOT/disk/audit.jsonl");
    scene.serve(&format!("on_audit_failure = \"{on_failure}\"\n{config}"))
}

const MORE_THAN_FITS: usize = 60;

#[test]
fn readers_are_served_unrecorded_while_the_disk_is_full_and_status_says_so() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(disk) = Disk::mount(&scene) else { return };
    let fleet = serve(&scene, "serve");
    let log = scene.path("disk/audit.jsonl");
    assert_eq!(opens_of(&scene, 3), 3);
    assert!(!status_text(&scene).contains("FAILING"));
    disk.fill();
    assert_eq!(opens_of(&scene, MORE_THAN_FITS), MORE_THAN_FITS, "reads go on");
    let written = opens(&log, "allowed").len();
    let lost = 3 + MORE_THAN_FITS - written;
    assert!(written >= 3 && lost > 30, "{written} written, {lost} lost");
    let text = status_text(&scene);
    let said = format!("{lost} FAILED; FAILING, readers are served unrecorded");
    assert!(text.contains(&said) && text.contains("No space left"), "{text}");
    assert_eq!(failures(&scene), lost as u64);
    // A file that cannot be written is no reason to read a configuration no more.
    let reloaded = scene.run(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");

    disk.free();
    assert_eq!(opens_of(&scene, 5), 5);
    assert_eq!(opens(&log, "allowed").len(), written + 5);
    assert_eq!(failures(&scene), lost as u64);
    assert!(!status_text(&scene).contains("FAILING"));
    drop(fleet);
    unmount_lazily(&disk.0);
}

#[test]
fn readers_are_refused_while_the_disk_is_full_if_that_is_wanted() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(disk) = Disk::mount(&scene) else { return };
    let fleet = serve(&scene, "refuse");
    let log = scene.path("disk/audit.jsonl");
    disk.fill();
    let served = opens_of(&scene, MORE_THAN_FITS);
    assert!(served < 30, "{served} served");
    assert_eq!(opens(&log, "allowed").len(), served, "no record tells what was not so");
    assert!(status_text(&scene).contains("FAILING, readers are refused"));
    assert_eq!(failures(&scene), (MORE_THAN_FITS - served) as u64);
    // What holds no keys is told all the same.
    assert!(fleet.read("agent", "config").contains("prod@live"));

    disk.free();
    assert_eq!(opens_of(&scene, 5), 5);
    assert_eq!(opens(&log, "allowed").len(), served + 5);
    drop(fleet);
    unmount_lazily(&disk.0);
}
