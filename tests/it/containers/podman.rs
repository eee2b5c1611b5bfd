//! Rootless Podman, run by the user who mounted.

use super::machine::{As, IMAGE, Machine, parent_of_user, words};
use super::reader::{self, Reader};
use crate::clients::rig::{run, told};
use crate::support::Scene;

/// Where the mount is seen inside.
const AWS: &str = "/home/app/.aws";

/// Podman with its storage in memory, in an environment of its own.
const PODMAN: [&str; 7] = [
    "env",
    "HOME=/run/home",
    "XDG_RUNTIME_DIR=/run/user",
    "podman",
    "--log-level=error",
    "--storage-driver=vfs",
    "--cgroup-manager=cgroupfs",
];

fn machine() -> Option<Machine> {
    Machine::start(&["podman", "newuidmap"])
}

/// Makes the image known to this user.
fn import(scene: &Scene) {
    let mut import = scene.command(PODMAN[0]);
    import.args(&PODMAN[1..]).args(["import", "--quiet", "/run/image.tar", IMAGE]);
    let output = run(&mut import);
    assert!(output.status.success(), "{}", told(&output));
}

/// `podman run` of the image with a bind and more options.
fn run_words(bind: &str, options: &[&str]) -> Vec<String> {
    // Rootless containers get a cgroup of their own from systemd only, which is not there.
    let always = ["run", "--rm", "--cgroups=disabled", "--network=host"];
    let binds = ["--volume=/usr:/usr:ro", "--volume=/run/clients:/run/clients", "--volume", bind];
    words(&[&PODMAN[..], &always, &binds, options, &[IMAGE]].concat())
}

/// Containers, run with these options, of a mount made with these arguments, where `check` looks.
pub(crate) fn check(options: &[&str], args: &[&str], check: impl FnOnce(&Reader<'_>)) {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::User);
    let daemon = reader::mount(&scene, args);
    import(&scene);
    let enter = run_words(&format!("{}:{AWS}", daemon.argument()), options);
    check(&Reader { scene: &scene, log: &|| daemon.log(), enter, aws: AWS.into() });
}

#[test]
fn root_of_a_rootless_container_reads_as_the_user_who_runs_it() {
    check(&[], &[], |reader| reader.expect_all());
}

#[test]
fn the_user_whose_id_a_rootless_container_keeps_reads_below_a_bound_parent() {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::User);
    let parent = parent_of_user(&scene);
    let daemon = reader::mount_on(&scene, parent.join(".aws"), &[]);
    import(&scene);
    // The runtime looks at what it binds as another user, root of the container, who may look at
    // the parent only.
    let bind = format!("{}:/home/app", parent.display());
    let enter = run_words(&bind, &["--userns=keep-id"]);
    Reader { scene: &scene, log: &|| daemon.log(), enter, aws: AWS.into() }.expect_all();
}

#[test]
fn another_user_of_a_rootless_container_is_refused() {
    check(&["--user=1000"], &[], |reader| reader.expect_refusal());
}

#[test]
fn a_rootless_container_that_binds_the_parent_as_slave_sees_later_mounts_too() {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::User);
    import(&scene);
    let parent = parent_of_user(&scene);
    let bind = format!("{}:/home/app:rslave", parent.display());
    let start = run_words(&bind, &["--detach"]);
    let started = run(scene.command(&start[0]).args(&start[1..]).args(["sleep", "infinity"]));
    assert!(started.status.success(), "{}", told(&started));
    let id = String::from_utf8(started.stdout).unwrap();
    // Two lives of the daemon in one of the container.
    for _ in 0..2 {
        let daemon = reader::mount_on(&scene, parent.join(".aws"), &[]);
        let enter = words(&[&PODMAN[..], &["exec", id.trim()]].concat());
        let reader = Reader { scene: &scene, log: &|| daemon.log(), enter, aws: AWS.into() };
        reader.expect_identity("prod");
        reader.expect_path();
    }
}
