//! That the search looks everywhere: a secret in any place is found there.

use std::fs;
use std::process::Command;

use super::life::Life;
use super::search::{Evidence, PLANTED, Secrets};
use super::trace::{self, Told};
use crate::emulator::Fault;
use crate::support::{Scene, arn, skipped};

/// Where a role of the name of a secret is told, by how the place is called.
const PLACES: [&str; 13] = [
    "stdout of [\"status\", ",
    "stdout of [\"status\", \"--json\"",
    "stdout of [\"status\", \"--prometheus\"]",
    "stdout of [\"check\"",
    "stdout of [\"audit\"",
    "stderr of [\"refresh\"",
    "config ",
    "credmount/status.json ",
    "credmount/metrics ",
    "credmount/errors/",
    "cmdline of the daemon",
    "cmdline of the supervisor",
    "the socket's answer",
];

/// The same of what stays behind, and of what only root can see.
const FILES: [&str; 3] = [".log", "audit.jsonl", "/tmp/left"];
const OF_ROOT: [&str; 2] = ["environ of the daemon", "environ of the supervisor"];
const OF_STRACE: [&str; 5] = [
    "arguments of what the daemon starts",
    "environment of what the daemon starts",
    "arguments of what credmount check starts",
    "environment of what credmount check starts",
    "written to /",
];

#[test]
fn a_secret_in_any_place_is_found_there() {
    let Some(scene) = Scene::mountable() else { return };
    let mut life = Life::new(&scene);
    let (_, needle) = PLANTED[0];
    life.keys();
    let (role, failing) = (arn(needle), format!("{needle}-failing"));
    life.configure(&format!(
        "region = \"eu-west-1\"\n[roles.{needle}]\nrole_arn = \"{role}\"\nsource_profile = \"keys\"\n\
         [roles.{failing}]\nrole_arn = \"{role}-failing\"\nsource_profile = \"keys\"\n"
    ));
    scene.emulator.set_fault(Fault::Deny.for_role(&failing));
    life.variable("NEEDLE", needle);
    life.mount(&["--role", needle, "--role", &failing]);
    life.shows("credentials");
    life.refresh("in failure");
    life.look("in failure");
    assert_eq!(life.run(&["check", "-vvv", "--role", &failing]), Some(1));
    fs::write(scene.path("tmp/left"), needle).unwrap();
    let is_traced = life.is_traced();
    let (_, evidence, secrets) = life.remains();
    let leaks = evidence.leaks(&secrets);
    let mut places = PLACES.to_vec();
    if rustix::process::geteuid().is_root() {
        places.extend(OF_ROOT);
    }
    if is_traced {
        places.extend(OF_STRACE);
    }
    for place in places {
        assert!(leaks.iter().any(|(found, _)| found.starts_with(place)), "{place}: {leaks:#?}");
    }
    for file in FILES {
        let is_it = |found: &str| found.starts_with("on disk: ") && found.ends_with(file);
        assert!(leaks.iter().any(|(found, _)| is_it(found)), "{file}: {leaks:#?}");
    }
}

/// A shell that writes to files which are gone when it ends, and to those where it may.
#[test]
fn a_secret_in_a_file_that_is_gone_is_found_and_one_in_the_cache_of_sign_ins_is_allowed() {
    if !trace::is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, needle) = PLANTED[0];
    let script = format!(
        "cd {0}; mkdir cache; n={needle}; echo $n >cache/x.json; echo $n >gone; rm gone; \
         echo ${{n%??????????}} >part; echo $n | read -r m; exec 3>late; rm late; echo $n >&3",
        dir.path().display()
    );
    let file = dir.path().join("trace");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("PATH", "/usr/bin:/bin");
    assert!(trace::traced(&shell, &file).status().unwrap().success());
    let mut told = Told::of(&fs::read_to_string(&file).unwrap());
    // The script says it itself.
    told.arguments.clear();
    let mut evidence = Evidence::default();
    let cache = format!("{}/cache", dir.path().display());
    told.testify("sh", &mut evidence, |to| to.starts_with(&cache) || to.starts_with("pipe:"));
    let leaks = evidence.leaks(&Secrets::planted());
    for name in ["gone", "part", "late"] {
        let place = format!("written to {}/{name} by sh", dir.path().display());
        assert!(leaks.iter().any(|(found, _)| *found == place), "{place}: {leaks:#?}");
    }
    assert!(!leaks.iter().any(|(found, _)| found.contains(&cache)), "{leaks:#?}");
}

#[test]
fn a_secret_in_a_core_is_found() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if !trace::is_possible() {
        return;
    }
    if pattern.starts_with(['|', '/']) {
        return skipped("cores go elsewhere on this machine");
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, needle) = PLANTED[0];
    let file = dir.path().join("trace");
    let mut shell = Command::new("sh");
    let script = "ulimit -c unlimited; cd \"$1\"; read -r needle <needle; kill -s ABRT $$";
    fs::write(dir.path().join("needle"), format!("{needle}\n")).unwrap();
    shell.args(["-c", script, "sh"]).arg(dir.path()).env("PATH", "/usr/bin:/bin");
    trace::traced(&shell, &file).status().unwrap();
    let told = Told::of(&fs::read_to_string(&file).unwrap());
    assert_eq!(told.killed, ["SIGABRT (core dumped)"], "a life ends without these words");
    fs::remove_file(dir.path().join("needle")).unwrap();
    fs::remove_file(&file).unwrap();
    let mut evidence = Evidence::default();
    evidence.files(dir.path());
    assert!(!evidence.leaks(&Secrets::planted()).is_empty());
}
