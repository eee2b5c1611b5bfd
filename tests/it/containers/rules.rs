//! Containers that run as other users than the one who mounted, let in by rules.

use super::docker::{self, container, docker};
use super::machine::{As, parent_of_user, words};
use super::podman;
use super::reader::{self, Reader};
use crate::clients::rig::{run, told};

/// Arguments that open a mount to these rules.
fn open_to<'a>(rules: &[&'a str]) -> Vec<&'a str> {
    let rules = rules.iter().flat_map(|rule| ["--allow", rule]);
    std::iter::once("--allow-other").chain(rules).collect()
}

/// A container of rootful Docker that runs as `user`, on a mount of the ordinary user.
fn check_docker(user: &str, rules: &[&str], check: impl FnOnce(&Reader<'_>)) {
    let Some(machine) = docker::machine() else { return };
    let scene = machine.scene(As::User);
    let daemon = reader::mount(&scene, &open_to(rules));
    docker::import(&scene);
    let bind = format!("{}:/home/app/.aws", daemon.argument());
    let enter = words(&container("run", &bind, &["--rm", "--user", user]));
    let aws = "/home/app/.aws".to_owned();
    check(&Reader { scene: &scene, log: &|| daemon.log(), enter, aws });
}

#[test]
fn root_of_a_rootful_container_reads_the_mount_of_an_ordinary_user_by_a_rule() {
    check_docker("0", &["uid=0"], |reader| reader.expect_all());
}

#[test]
fn a_user_of_a_rootful_container_is_the_user_of_that_number_on_the_host() {
    check_docker("1000", &["uid=1000"], |reader| reader.expect_all());
}

#[test]
fn who_is_in_no_rule_is_refused_in_a_rootful_container() {
    check_docker("1001", &["uid=1000", "uid=0"], |reader| reader.expect_refusal());
}

#[test]
fn a_user_of_a_rootless_container_reads_by_the_number_on_the_host() {
    let rules = open_to(&["uid=200999"]);
    podman::check(&["--user=1000"], &rules, |reader| reader.expect_all());
}

#[test]
fn the_user_whose_id_a_rootless_container_keeps_reads_a_bound_mount_that_is_open() {
    podman::check(&["--userns=keep-id"], &open_to(&[]), |reader| reader.expect_all());
}

#[test]
fn a_container_reads_by_the_group_that_it_is_started_in() {
    let Some(machine) = docker::machine() else { return };
    let scene = machine.scene(As::User);
    let daemon = reader::mount(&scene, &open_to(&["cgroup=/agents/*"]));
    docker::import(&scene);
    let bind = format!("{}:/home/app/.aws", daemon.argument());
    let log = || daemon.log();
    let reader = |group: &str| {
        let group = format!("--cgroup-parent={group}");
        let enter = words(&container("run", &bind, &["--rm", "--user=1000", &group]));
        Reader { scene: &scene, log: &log, enter, aws: "/home/app/.aws".into() }
    };
    reader("/agents").expect_identity("prod");
    reader("/others").expect_refusal();
}

#[test]
fn each_container_reads_the_roles_of_its_own_rule() {
    let Some(machine) = docker::machine() else { return };
    let scene = machine.scene(As::User);
    docker::import(&scene);
    // Containers first, because the rules name them: they see the mount when it comes.
    let parent = parent_of_user(&scene);
    let bind = format!("{}:/home/app:rslave", parent.display());
    let start = container("run", &bind, &["--detach"]);
    let ids: [String; 3] =
        std::array::from_fn(|_| docker(&scene, &[&start[1..], &["sleep", "infinity"]].concat()));
    let rules = [
        format!("container={},roles=prod", &ids[0][..12]),
        format!("container={},roles=dev", ids[1]),
    ];
    let rules = open_to(&[&*rules[0], &*rules[1]]);
    let daemon = reader::mount_on(&scene, parent.join(".aws"), &rules);
    let log = || daemon.log();
    let reader = |id: &str| Reader {
        scene: &scene,
        log: &log,
        enter: words(&["docker", "exec", id]),
        aws: "/home/app/.aws".to_owned(),
    };
    for (id, own, other) in [(&ids[0], "prod", "dev"), (&ids[1], "dev", "prod")] {
        let reader = reader(id);
        reader.expect_identity(own);
        let output = run(&mut reader.client(other, &[]));
        assert!(!output.status.success(), "{}", told(&output));
        let output = run(&mut reader.command(&["cat", "/home/app/.aws/credentials"]));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("[{own}]")) && !text.contains(&format!("[{other}]")));
    }
    reader(&ids[2]).expect_refusal();
}
