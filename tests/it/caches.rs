//! The writable directories and `config_include` on real mounts: with real clients, through binds,
//! at both ends of a mount's life, under rules and across reloads.

mod access;
mod binds;
mod clients;
mod life;
mod reload;

use std::fs;
use std::path::PathBuf;

use crate::support::daemon::arn;
use crate::support::{Daemon, Scene};

/// The argument that makes writable directories whoever mounts.
const ON: &str = "--writable-caches";

/// Mounts the role `prod` with writable directories, and more arguments.
fn mount<'a>(scene: &'a Scene, more: &[&str]) -> Daemon<'a> {
    let role = arn("prod");
    scene.mount(&[&["--role", &role, "--region", "eu-west-1", ON], more].concat())
}

/// What is mounted below the directory of the scene, told without touching it.
fn mounted(scene: &Scene) -> Vec<PathBuf> {
    let root = scene.path("");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(&root)).collect()
}

/// Whether the file of keys has a mount of its own, which ordinary users can make only where a
/// mount is open to others.
fn has_key_mount() -> bool {
    rustix::process::geteuid().is_root()
}
