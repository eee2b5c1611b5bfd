//! The AWS CLI and boto3 with a profile that assumes a role by itself, on top of one that is served.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::ON;
use crate::clients::rig::{Client, Rig, run, told};
use crate::support::{Scene, skipped, variable};

const OFF: &str = "--writable-caches=false";
const INCLUDE: &str = "\
[profile chained]
role_arn = arn:aws:iam::123456789012:role/chained
source_profile = prod
region = eu-central-1
";

/// A mount whose `config` has the profile `chained`.
fn rig<'a>(scene: &'a Scene, caches: &str) -> Option<Rig<'a>> {
    let include = scene.path("include");
    fs::write(&include, INCLUDE).unwrap();
    Rig::start(scene, &["--config-include", include.to_str().unwrap(), caches])
}

#[derive(Debug, Clone, Copy)]
enum Cli {
    V1,
    V2,
}

impl Cli {
    /// `aws ARGUMENTS` with the mount at `~/.aws`. `None`, said aloud, where it is not installed.
    fn command(self, rig: &Rig<'_>, arguments: &[&str]) -> Option<Command> {
        match self {
            Self::V1 => Some(Client::cli(rig.at_home(Client::Cli)?, arguments)),
            Self::V2 => {
                let Some(program) = variable("CREDMOUNT_TEST_AWS_CLI_2") else {
                    skipped("CREDMOUNT_TEST_AWS_CLI_2 names no AWS CLI v2");
                    return None;
                };
                let mut command = rig.scene.command(program);
                command
                    .args(arguments)
                    .env("HOME", rig.scene.path("reader"))
                    .env("AWS_DATA_PATH", sts_at(rig.scene));
                Some(command)
            }
        }
    }
}

/// A data path by which versions of the CLI that know no variable for it call the emulator.
fn sts_at(scene: &Scene) -> PathBuf {
    let path = scene.path("models");
    let api = path.join("sts/2011-06-15");
    fs::create_dir_all(&api).unwrap();
    let rules = serde_json::json!({
        "version": "1.0",
        "parameters": {"Region": {"type": "String", "builtIn": "AWS::Region", "documentation": ""}},
        "rules": [{
            "type": "endpoint",
            "conditions": [],
            "endpoint": {"url": scene.emulator.endpoint(), "properties": {}, "headers": {}},
        }],
    });
    fs::write(api.join("endpoint-rule-set-1.json"), rules.to_string()).unwrap();
    path
}

#[track_caller]
fn check_cached(cli: Cli) {
    let scene = Scene::new();
    let Some(rig) = rig(&scene, ON) else { return };
    for _ in 0..2 {
        let who_am_i = ["sts", "get-caller-identity", "--profile", "chained"];
        let Some(mut command) = cli.command(&rig, &who_am_i) else { return };
        rig.expect_identity(&mut command, "chained");
        assert_eq!(scene.emulator.call_count("AssumeRole", "chained"), 1, "the second is cached");
        let kept = fs::read_dir(rig.daemon.file("cli/cache")).unwrap().map(|it| it.unwrap().path());
        // v2 keeps an index for its completions here too.
        let kept: Vec<_> =
            kept.filter(|it| it.extension().is_some_and(|it| it == "json")).collect();
        let [file] = &kept[..] else { panic!("one session, not {kept:?}") };
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let json: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let key = json["Credentials"]["AccessKeyId"].as_str().unwrap();
        assert!(scene.emulator.session(key).unwrap().arn.contains("assumed-role/chained/"));
    }
}

#[test]
fn the_cli_keeps_the_session_of_a_role_profile_in_the_mount() {
    check_cached(Cli::V1);
}

#[test]
fn the_cli_v2_keeps_the_session_of_a_role_profile_in_the_mount() {
    check_cached(Cli::V2);
}

#[test]
fn the_cli_cannot_use_a_role_profile_without_writable_directories() {
    let scene = Scene::new();
    let Some(rig) = rig(&scene, OFF) else { return };
    let who_am_i = ["sts", "get-caller-identity", "--profile", "chained"];
    let Some(mut command) = Cli::V1.command(&rig, &who_am_i) else { return };
    let output = run(&mut command);
    let said = told(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("Read-only file system") && said.contains(".aws/cli"), "{said}");
    assert_eq!(rig.identity_calls().len(), 0);
}

/// What a client could have changed: names at the top, and both files.
fn state(rig: &Rig<'_>) -> (Vec<PathBuf>, String, String) {
    let names = fs::read_dir(&rig.daemon.mountpoint).unwrap().map(|it| it.unwrap().path());
    let read = |name: &str| fs::read_to_string(rig.daemon.file(name)).unwrap();
    (names.collect(), read("config"), read("credentials"))
}

#[track_caller]
fn check_configure(cli: Cli, caches: &str) {
    let scene = Scene::new();
    let Some(rig) = rig(&scene, caches) else { return };
    let before = state(&rig);
    let Some(mut list) = cli.command(&rig, &["configure", "list", "--profile", "prod"]) else {
        return;
    };
    let output = run(&mut list);
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("shared-credentials-file") && said.contains("eu-west-1"), "{said}");
    for set in [["region", "eu-south-1"], ["aws_access_key_id", "AKIAIOSFODNN7EXAMPLE"]] {
        let arguments = [&["configure", "set"], &set[..], &["--profile", "prod"]].concat();
        let output = run(&mut cli.command(&rig, &arguments).unwrap());
        let said = told(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        assert!(!said.contains("Traceback"), "{said}");
    }
    assert_eq!(state(&rig), before);
}

#[test]
fn the_cli_lists_its_configuration_and_cannot_set_any() {
    check_configure(Cli::V1, ON);
}

#[test]
fn the_cli_lists_its_configuration_and_cannot_set_any_without_writable_directories() {
    check_configure(Cli::V1, OFF);
}

#[test]
fn the_cli_v2_lists_its_configuration_and_cannot_set_any() {
    check_configure(Cli::V2, ON);
}

#[test]
fn boto3_uses_a_role_profile_with_and_without_writable_directories() {
    for caches in [ON, OFF] {
        let scene = Scene::new();
        let Some(rig) = rig(&scene, caches) else { return };
        let Some(mut client) = rig.at_home(Client::Boto3) else { return };
        rig.expect_identity(client.env("AWS_PROFILE", "chained"), "chained");
    }
}

/// The class by which the CLI and others keep sessions: four processes replace one session over and
/// over, and a fifth reads it; none may see half of one.
#[test]
fn boto3_caches_are_replaced_whole() {
    let scene = Scene::new();
    let Some(rig) = rig(&scene, ON) else { return };
    let Some(client) = rig.at_home(Client::Boto3) else { return };
    let script = "\
import json, multiprocessing, os, sys
from botocore.utils import JSONFileCache
path = os.path.expanduser('~/.aws/boto/cache')
enough = multiprocessing.Event()
def write(letter):
    cache = JSONFileCache(path)
    while not enough.is_set():
        for n in range(1, 100):
            cache['session'] = {'token': letter * 50 * n}
JSONFileCache(path)['session'] = {'token': ''}
writers = [multiprocessing.Process(target=write, args=(letter,)) for letter in 'abcd']
for writer in writers: writer.start()
seen = set()
while len(seen) < 50 and all(writer.is_alive() for writer in writers):
    with open(path + '/session.json') as file:
        token = json.load(file)['token']
    assert len(set(token)) <= 1 and len(token) % 50 == 0, token
    seen.add(token)
enough.set()
for writer in writers: writer.join()
assert all(writer.exitcode == 0 for writer in writers)
cache = JSONFileCache(path)
assert 'session' in cache and 'other' not in cache
del cache['session']
assert os.listdir(path) == []
";
    let mut command = Command::new(client.get_program());
    command.args(["-c", script]).env("HOME", scene.path("reader"));
    let output = run(&mut command);
    assert!(output.status.success(), "{}", told(&output));
}
