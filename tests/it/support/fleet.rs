//! A daemon that serves the mounts of a configuration file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use credmount::control::{Request, Response, ask};
use credmount::os::paths::mount_stem;
use serde_json::Value;

use super::daemon::{Scene, is_mounted, unmount_lazily};

/// A daemon in the background with the `[mounts]` of `config.toml` in its scene.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    scene: &'a Scene,
}

impl Scene {
    /// Writes the configuration file. `ROOT` in it becomes the directory of the scene.
    pub(crate) fn write_config(&self, text: &str) -> PathBuf {
        let path = self.path("config.toml");
        let root = self.path("").display().to_string();
        fs::write(&path, text.replace("ROOT", root.trim_end_matches('/'))).expect("a file");
        path
    }

    /// Serves the mounts of this configuration.
    pub(crate) fn serve(&self, config: &str) -> Fleet<'_> {
        self.start(config, &[], &self.emulator.endpoint())
    }

    /// The same with an STS elsewhere.
    pub(crate) fn serve_at(&self, config: &str, endpoint: &str) -> Fleet<'_> {
        self.start(config, &[], endpoint)
    }

    /// The same as [`Scene::serve`] under a supervisor.
    pub(crate) fn supervise(&self, config: &str) -> Fleet<'_> {
        self.start(config, &["--supervise"], &self.emulator.endpoint())
    }

    fn start(&self, config: &str, args: &[&str], endpoint: &str) -> Fleet<'_> {
        let path = self.write_config(config);
        // Before it starts, so that a mount of a failed start is removed too.
        let fleet = Fleet { scene: self };
        let config = ["--background", "--config", path.to_str().expect("UTF-8")];
        let mut command = self.credmount(&[args, &config].concat());
        let output = command.env("AWS_ENDPOINT_URL_STS", endpoint).output();
        let output = output.expect("credmount runs");
        assert!(output.status.success(), "mounting failed: {output:?}");
        fleet
    }
}

impl Fleet<'_> {
    /// A file of a mount, `live` in the scene being where that is mounted.
    pub(crate) fn read(&self, mount: &str, file: &str) -> String {
        let path = self.scene.path(mount).join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Replaces the configuration and reloads.
    pub(crate) fn reload(&self, config: &str) -> Output {
        self.scene.write_config(config);
        self.scene.run(&["reload"])
    }

    /// Renews the sessions of all mounts, asked for by way of one of them.
    pub(crate) fn refresh_over_socket(&self, mount: &str) {
        let stem = mount_stem(&self.scene.path(mount));
        let socket = self.scene.path("run/credmount").join(stem).with_extension("sock");
        let response = ask(&socket, &Request::Refresh { mount: None, profile: None });
        assert_eq!(response.expect("an answer"), Response::Done(String::new()));
    }

    /// What `status --json` says of all mounts, by their names.
    pub(crate) fn status(&self) -> Vec<(String, Value)> {
        let output = self.scene.run(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let named = |it: Value| (it["name"].as_str().unwrap_or_default().to_owned(), it);
        all.into_iter().map(named).collect()
    }

    /// The names of the mounts.
    pub(crate) fn names(&self) -> Vec<String> {
        self.status().into_iter().map(|(name, _)| name).collect()
    }

    /// The same while there may be no daemon.
    pub(crate) fn try_pid(&self) -> Option<rustix::process::Pid> {
        let output = self.scene.run(&["status", "--json"]);
        let all: Value = serde_json::from_slice(&output.stdout).ok()?;
        let pid = all[0]["pid"].as_i64().and_then(|pid| pid.try_into().ok());
        pid.and_then(rustix::process::Pid::from_raw)
    }

    /// The daemon's process id.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        let status = self.status();
        let pid = status[0].1["pid"].as_i64().and_then(|pid| pid.try_into().ok());
        pid.and_then(rustix::process::Pid::from_raw).expect("a pid")
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        let root = self.scene.path("");
        let mounts: Vec<PathBuf> = mounts_below(&root);
        for mount in &mounts {
            let stopped = self.scene.credmount(&["unmount"]).arg(mount).output();
            if !stopped.is_ok_and(|output| output.status.success())
                && is_mounted(mount)
                && !std::thread::panicking()
            {
                unmount_lazily(mount);
            }
        }
    }
}

/// What is mounted below a directory, the last one first, told without touching it.
fn mounts_below(root: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut below: Vec<PathBuf> =
        points.map(PathBuf::from).filter(|point| point.starts_with(root)).collect();
    below.reverse();
    below
}
