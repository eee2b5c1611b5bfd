//! Rootful Docker: a dockerd of its own for each test, in the memory of a machine of its own.

use super::machine::{As, IMAGE, Machine, USER, parent_of_user, words};
use super::reader::{self, Reader};
use crate::clients::rig::{identity_calls, run, told};
use crate::support::{Scene, arn, eventually};

/// Where the mount is seen inside.
const AWS: &str = "/root/.aws";

/// The daemon, told to leave the network of the host alone. Its socket is for root and for the
/// group of the ordinary user, who may therefore start containers and is as good as root.
const DOCKERD: [&str; 8] = [
    "dockerd",
    "--group=tester",
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--storage-driver=vfs",
    "--data-root=/run/docker-data",
];

/// What every container is started with: clients, and the network on which the emulator listens.
const ALWAYS: [&str; 3] =
    ["--network=host", "--volume=/usr:/usr:ro", "--volume=/run/clients:/run/clients"];

pub(crate) fn machine() -> Option<Machine> {
    Machine::with_daemon(&["dockerd", "docker"], &DOCKERD)
}

/// Runs docker to its end and gives what it prints.
#[track_caller]
pub(crate) fn docker(scene: &Scene, args: &[&str]) -> String {
    let output = run(scene.command("docker").args(args));
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Waits for dockerd and gives it the image.
#[track_caller]
pub(crate) fn import(scene: &Scene) {
    eventually("dockerd", || run(scene.command("docker").arg("version")).status.success());
    docker(scene, &["import", "/run/image.tar", IMAGE]);
}

/// `docker COMMAND` of a container with the clients, a bind and more options.
pub(crate) fn container<'a>(command: &'a str, bind: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    [&["docker", command, "--volume", bind][..], &ALWAYS, options, &[IMAGE]].concat()
}

/// Containers of a mount of `who`, run with these options, where `check` looks.
fn check(who: As, options: &[&str], check: impl FnOnce(&Reader<'_>)) {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(who);
    let daemon = reader::mount(&scene, &[]);
    import(&scene);
    let bind = format!("{}:{AWS}", daemon.argument());
    let options = [&["--rm"], options].concat();
    let enter = words(&container("run", &bind, &options));
    check(&Reader { scene: &scene, log: &|| daemon.log(), enter, aws: AWS.into() });
}

#[test]
fn root_of_a_rootful_container_reads_a_mount_of_root() {
    check(As::Root, &[], |reader| reader.expect_all());
}

#[test]
fn another_user_of_a_rootful_container_is_refused() {
    check(As::Root, &["--user=1000"], |reader| reader.expect_refusal());
}

#[test]
fn rootful_docker_cannot_bind_the_mount_of_an_ordinary_user_itself() {
    check(As::User, &[], |reader| {
        let output = run(&mut reader.command(&["true"]));
        assert!(!output.status.success(), "{}", told(&output));
        // With words that differ between versions, about the directory.
        let mountpoint = reader.scene.path("live");
        assert!(told(&output).contains(mountpoint.to_str().unwrap()), "{}", told(&output));
    });
}

#[test]
fn a_rootful_container_that_runs_as_the_user_reads_below_a_bound_parent() {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::User);
    let parent = parent_of_user(&scene);
    let daemon = reader::mount_on(&scene, parent.join(".aws"), &[]);
    import(&scene);
    let bind = format!("{}:/home/app", parent.display());
    let user = format!("--user={USER}:{USER}");
    let enter = words(&container("run", &bind, &["--rm", &user]));
    let aws = "/home/app/.aws".to_owned();
    Reader { scene: &scene, log: &|| daemon.log(), enter, aws }.expect_all();
}

#[test]
fn a_container_with_the_one_file_bound_has_new_keys_after_a_renewal() {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::Root);
    let daemon = reader::mount(&scene, &[]);
    import(&scene);
    let bind = format!("{}/credentials:{AWS}/credentials", daemon.argument());
    let start = container("run", &bind, &["--detach"]);
    let id = docker(&scene, &[&start[1..], &["sleep", "infinity"]].concat());
    let enter = words(&["docker", "exec", &id]);
    let reader = Reader { scene: &scene, log: &|| daemon.log(), enter, aws: AWS.into() };
    reader.expect_identity("prod");
    daemon.refresh();
    reader.expect_identity("prod");
    let keys = identity_calls(&scene.emulator);
    assert_ne!(keys[0].caller_access_key_id, keys[1].caller_access_key_id);
}

#[test]
fn a_container_that_binds_the_parent_as_slave_sees_later_mounts_too() {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::Root);
    import(&scene);
    let parent = scene.path("mounts");
    std::fs::create_dir(&parent).unwrap();
    let bind = format!("{}:/home/app:rslave", parent.display());
    let start = container("run", &bind, &["--detach"]);
    let id = docker(&scene, &[&start[1..], &["sleep", "infinity"]].concat());
    // Two lives of the daemon in one of the container.
    for _ in 0..2 {
        let daemon = reader::mount_on(&scene, parent.join(".aws"), &[]);
        let enter = words(&["docker", "exec", &id]);
        let aws = "/home/app/.aws".to_owned();
        let reader = Reader { scene: &scene, log: &|| daemon.log(), enter, aws };
        reader.expect_identity("prod");
        reader.expect_path();
    }
}

/// As in a pod: `Bidirectional` is a bind that is `rshared`, `HostToContainer` one that is `rslave`.
#[test]
fn a_sidecar_serves_the_containers_beside_it() {
    let Some(machine) = machine() else { return };
    let scene = machine.scene(As::Root);
    scene.emulator.set_session_lifetime(Some(reader::LIFETIME));
    import(&scene);
    let shared = scene.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let [both, down] = ["rshared", "rslave"].map(|way| format!("{}:/aws:{way}", shared.display()));
    let variables = [
        format!("AWS_ACCESS_KEY_ID={}", scene.emulator.base_access_key_id()),
        format!("AWS_SECRET_ACCESS_KEY={}", scene.emulator.base_secret_access_key()),
        format!("AWS_ENDPOINT_URL_STS={}", scene.emulator.endpoint()),
        format!("CREDMOUNT_ROLE=prod={}", arn("prod")),
    ];
    let apparmor = "--security-opt=apparmor=unconfined";
    let mut options = vec!["--detach", "--cap-add=SYS_ADMIN", "--device=/dev/fuse", apparmor];
    // The root certificates, without which there is no TLS client, although TLS is not used here.
    options.push("--volume=/etc/ssl:/etc/ssl:ro");
    options.extend(variables.iter().flat_map(|variable| ["--env", variable]));
    let sidecar = container("run", &both, &options);
    let credmount = ["/run/clients/programs/credmount", "--region=eu-west-1", "/aws/.aws"];
    let sidecar = docker(&scene, &[&sidecar[1..], &credmount].concat());
    let log = || told(&run(scene.command("docker").args(["logs", &sidecar])));
    eventually("the sidecar to serve", || log().contains("serving"));

    let enter = words(&container("run", &down, &["--rm"]));
    Reader { scene: &scene, log: &log, enter, aws: "/aws/.aws".to_owned() }.expect_all();

    docker(&scene, &["stop", &sidecar]);
    let code = docker(&scene, &["inspect", "--format={{.State.ExitCode}}", &sidecar]);
    assert_eq!(code, "0", "{}", log());
}
