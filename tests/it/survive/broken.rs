//! Mounts that were kept while their configuration became wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use super::{left_in, parent, pid_state};
use crate::endpoint;
use crate::support::daemon::{arn, is_mounted};
use crate::support::fleet::Fleet;
use crate::support::reader::Reader;
use crate::support::wait::now;
use crate::support::{Scene, eventually, free_address, ini_value, unmount_lazily};

const GOOD: &str = r#"
region = "eu-west-1"
writable_caches = true
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[roles.dev]
role_arn = "arn:aws:iam::123456789012:role/dev"
[mounts.ops]
path = "ROOT/ops"
roles = ["prod", "dev"]
"#;

/// What readers are told of each profile.
const TOLD: &str = "the configuration of credmount is broken";

/// The same with a mistake in its second line.
fn misspelt() -> String {
    GOOD.replacen("region", "regoin", 1)
}

/// Kills the daemon, which finds this configuration when it is started again.
fn crash_into(scene: &Scene, fleet: &Fleet<'_>, config: &str) {
    scene.write_config(config);
    crash(fleet);
}

fn crash(fleet: &Fleet<'_>) {
    let pid = fleet.pid();
    kill_process(pid, Signal::KILL).unwrap();
    eventually("another daemon", || fleet.try_pid().is_some_and(|it| it != pid));
}

fn key(text: &str, profile: &str) -> Option<String> {
    ini_value(text, profile, "aws_access_key_id")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// What the `credential_process` of a profile says when it fails, as it must.
fn failure(credentials: &str, profile: &str) -> String {
    assert_eq!(key(credentials, profile), None, "{credentials}");
    let command = ini_value(credentials, profile, "credential_process").expect(credentials);
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    told(&output)
}

#[test]
fn readers_are_told_where_the_configuration_is_broken_until_it_is_mended() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    let Some(mut reader) = Reader::in_a_bind(&scene, &scene.path("ops")) else { return };
    assert!(key(&reader.read("credentials"), "prod").is_some());
    let size = |name: &str| fs::metadata(scene.path("ops").join(name)).unwrap().len();
    let files = ["credentials", "credmount/process/prod.json", "credmount/errors/dev"];
    let sizes = files.map(size);

    scene.write_config(&misspelt());
    kill_process(fleet.pid(), Signal::KILL).unwrap();
    let began = now();
    let text = reader.read("credentials");
    eprintln!("a bind tells that the configuration is broken after {:?}", began.elapsed());
    for profile in ["prod", "dev", "default"] {
        let told = failure(&text, profile);
        assert!(told.contains(&format!("{TOLD} in config.toml line 2")), "{told}");
        assert!(!told.contains("regoin"), "the words are for the operator");
    }
    assert!(reader.read("credmount/process/prod.json").contains(TOLD));
    assert!(reader.read("credmount/errors/dev").contains(TOLD));
    for (file, before) in files.into_iter().zip(sizes) {
        assert!(size(file) >= before, "{file} has shrunk");
    }
    assert!(fs::write(scene.path("ops/cli/x"), "x").is_err(), "nobody knows who may write");

    let output = scene.run(&["status"]);
    assert!(output.status.success(), "{output:?}");
    assert!(told(&output).contains("config.toml:2: unknown key `regoin`"), "{}", told(&output));
    let (_, status) = &fleet.status()[0];
    assert_eq!(status["roles"][0]["state"], "unconfigured");
    let log = fs::read_to_string(status["log_file"].as_str().unwrap()).unwrap();
    assert!(log.contains("config.toml:2: unknown key `regoin`"), "{log}");
    let shown = reader.read("credmount/status.json");
    assert!(!shown.contains("regoin"), "{shown}");
    let output = scene.run(&["refresh", scene.path("ops").to_str().unwrap()]);
    assert!(told(&output).contains("the configuration is broken"), "{output:?}");

    let pid = fleet.pid();
    scene.write_config(GOOD);
    let began = now();
    eventually("keys", || {
        let text = reader.read("credentials");
        key(&text, "prod").is_some() && key(&text, "dev").is_some()
    });
    eprintln!("keys again {:?} after it was mended", began.elapsed());
    assert_eq!(fleet.pid(), pid, "it was not started again");
    assert!(fleet.status()[0].1["broken"].is_null());
    fs::write(scene.path("ops/cli/x"), "x").unwrap();
}

#[test]
fn a_reload_tells_what_is_wrong_now_and_serves_at_once_what_is_mended() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    crash_into(&scene, &fleet, &misspelt());
    let output = fleet.reload(&format!("\n{}", misspelt()));
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("config.toml:3"), "{output:?}");
    let said = failure(&fleet.read("ops", "credentials"), "prod");
    assert!(said.contains("config.toml line 3"), "{said}");
    let output = fleet.reload(GOOD);
    assert!(output.status.success(), "{output:?}");
    assert!(key(&fleet.read("ops", "credentials"), "prod").is_some());
}

#[test]
fn whatever_is_wrong_the_mounts_that_were_kept_stay() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    let config = scene.path("config.toml");
    let no_audit = format!("audit_log = \"ROOT/none/audit\"\n{GOOD}");
    let no_mountpoint = GOOD.replace("ROOT/ops", "ROOT/none/ops");
    let cases: [(&str, &dyn Fn()); 5] = [
        ("no TOML", &|| drop(scene.write_config("region ="))),
        ("gone", &|| fs::remove_file(&config).unwrap()),
        ("not text", &|| fs::write(&config, [0xff]).unwrap()),
        ("no audit log", &|| drop(scene.write_config(&no_audit))),
        ("a mount point that cannot be", &|| drop(scene.write_config(&no_mountpoint))),
    ];
    for (case, breaks) in cases {
        breaks();
        crash(&fleet);
        let said = failure(&fleet.read("ops", "credentials"), "dev");
        assert!(said.contains(TOLD), "{case}: {said}");
    }
    let output = fleet.reload(GOOD);
    assert!(output.status.success(), "{output:?}");
    assert!(key(&fleet.read("ops", "credentials"), "dev").is_some());
}

#[test]
fn a_mount_of_which_nothing_was_written_down_has_a_default_that_fails() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    // As after the runtime directory was cleared.
    for path in left_in(&scene.path("run/credmount")) {
        if path.to_str().unwrap().ends_with(".state.json") {
            fs::remove_file(path).unwrap();
        }
    }
    crash_into(&scene, &fleet, &misspelt());
    assert!(failure(&fleet.read("ops", "credentials"), "default").contains(TOLD));
    let output = fleet.reload(GOOD);
    assert!(output.status.success(), "{output:?}");
    assert!(key(&fleet.read("ops", "credentials"), "prod").is_some());
}

#[test]
fn a_mount_that_was_added_and_fits_no_more_takes_no_other_with_it() {
    let Some(scene) = Scene::mountable() else { return };
    let ops = GOOD.replace("[\"prod\", \"dev\"]", "[\"prod\"]");
    let fleet = scene.supervise(&ops);
    let path = scene.path("run-42");
    let added = ["add", "run-42", "--role", "dev", "--for", "1h", "--path", path.to_str().unwrap()];
    let output = scene.run(&added);
    assert!(output.status.success(), "{output:?}");
    crash_into(&scene, &fleet, &ops.replace("roles.dev", "roles.develop"));
    assert!(key(&fleet.read("ops", "credentials"), "prod").is_some());
    assert!(failure(&fleet.read("run-42", "credentials"), "dev").contains(TOLD));
    scene.write_config(&ops);
    eventually("keys", || key(&fleet.read("run-42", "credentials"), "dev").is_some());
    let ends =
        |(name, status): &(_, serde_json::Value)| name == "run-42" && !status["ends"].is_null();
    assert!(fleet.status().iter().any(ends), "it still ends when it was to");
}

#[test]
fn a_lock_is_told_first_and_outlives_the_mending() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    crash_into(&scene, &fleet, &misspelt());
    assert!(scene.run(&["lock"]).status.success());
    let said = |profile: &str| failure(&fleet.read("ops", "credentials"), profile);
    assert!(said("prod").contains("credmount is locked"));
    assert!(scene.run(&["unlock"]).status.success());
    assert!(said("prod").contains(TOLD));
    assert!(scene.run(&["lock"]).status.success());
    let output = fleet.reload(GOOD);
    assert!(output.status.success(), "{output:?}");
    assert!(said("prod").contains("credmount is locked"));
    assert!(scene.run(&["unlock"]).status.success());
    eventually("keys", || key(&fleet.read("ops", "credentials"), "prod").is_some());
}

#[test]
fn a_broken_configuration_does_not_keep_a_mount_from_being_removed() {
    let Some(scene) = Scene::mountable() else { return };
    let (at, run) = (scene.path("ops"), scene.path("run/credmount"));
    let ends: [&dyn Fn(Pid); 2] = [&|pid| kill_process(pid, Signal::TERM).unwrap(), &|_| {
        let output = scene.run(&["unmount", at.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
    }];
    for end in ends {
        let fleet = scene.supervise(GOOD);
        crash_into(&scene, &fleet, &misspelt());
        let supervisor = parent(fleet.pid().as_raw_nonzero().get());
        end(supervisor);
        eventually("the mount to go", || !is_mounted(&at));
        eventually("the supervisor to go", || {
            pid_state(supervisor).is_none_or(|state| state == 'Z')
        });
        let is_log = |path: &Path| path.extension().is_some_and(|it| it == "log" || it == "old");
        let left = left_in(&run);
        assert!(left.iter().all(|path| is_log(path)), "{left:?}");
    }
}

#[test]
fn a_restart_that_would_take_the_keys_away_is_refused() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    let pid = fleet.pid();
    scene.write_config(&misspelt());
    let output = scene.run(&["restart"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(told(&output).contains("config.toml:2: unknown key `regoin`"), "{output:?}");
    assert_eq!(fleet.pid(), pid);
    assert!(key(&fleet.read("ops", "credentials"), "prod").is_some());
    // With nothing to lose it may be tried.
    crash(&fleet);
    let pid = fleet.pid();
    let output = scene.run(&["restart"]);
    assert!(output.status.success(), "{output:?}");
    eventually("another daemon", || fleet.try_pid().is_some_and(|it| it != pid));
    assert!(failure(&fleet.read("ops", "credentials"), "prod").contains(TOLD));
}

#[test]
fn a_daemon_with_a_broken_configuration_and_no_mount_left_ends() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(GOOD);
    let pid = fleet.pid();
    let supervisor = parent(pid.as_raw_nonzero().get());
    kill_process(supervisor, Signal::STOP).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    unmount_lazily(&scene.path("ops"));
    scene.write_config(&misspelt());
    kill_process(supervisor, Signal::CONT).unwrap();
    eventually("the supervisor to go", || pid_state(supervisor).is_none_or(|it| it == 'Z'));
}

#[test]
fn the_mount_of_a_command_line_outlives_the_profile_it_is_made_from() {
    let Some(scene) = Scene::mountable() else { return };
    let aws = scene.path("home/.aws");
    fs::create_dir(&aws).unwrap();
    let profile = format!(
        "[profile work]\nrole_arn = {}\nregion = eu-west-1\ncredential_source = Environment\n",
        arn("prod")
    );
    fs::write(aws.join("config"), &profile).unwrap();
    let daemon = scene.mount(&["--supervise", "--role", "work"]);
    assert!(key(&daemon.credentials(), "work").is_some());
    let pid = daemon.pid();
    fs::write(aws.join("config"), "").unwrap();
    daemon.signal(Signal::KILL);
    let text = daemon.credentials();
    for profile in ["work", "default"] {
        assert!(failure(&text, profile).contains(&format!("{TOLD} in --role")), "{text}");
    }
    assert_ne!(daemon.pid(), pid);
    fs::write(aws.join("config"), &profile).unwrap();
    eventually("keys", || key(&daemon.credentials(), "default").is_some());
}

#[test]
fn tokens_and_the_endpoint_are_there_and_say_what_is_wrong_too() {
    let Some(scene) = Scene::mountable() else { return };
    let address = free_address();
    let issuer = scene.emulator.issuer();
    let good = GOOD.replace(
        "roles = [\"prod\", \"dev\"]",
        &format!("roles = [\"prod\"]\ntokens = [\"github/acme\"]\nendpoint = \"{address}\""),
    ) + &format!(
        "[identities.corp]\ntype = \"vouch\"\nissuer = \"{issuer}\"\nclient_id = \"credmount\"\n\
         [github.acme]\nidentity = \"corp\"\n"
    );
    let fleet = scene.supervise(&good);
    let shown = || fleet.read("ops", "credmount/endpoint/token");
    let ask = || {
        let request = endpoint::request(address, "/role/prod", &shown(), &[]);
        endpoint::converse(address, &request).map(|answer| answer.whole).unwrap_or_default()
    };
    let answer = ask();
    assert!(answer.contains("SecretAccessKey"), "{answer}");
    let issuer_calls = scene.emulator.issuer_calls("/v1/credentials/github/token");

    crash_into(&scene, &fleet, &good.replacen("region", "regoin", 1));
    let told = format!("{TOLD} in config.toml line 2");
    for file in ["token", "git-credentials", "error"] {
        let text = fleet.read("ops", &format!("credmount/github/acme/{file}"));
        assert!(text.contains(&told), "{file}: {text}");
    }
    let while_broken = shown();
    let answer = ask();
    assert!(answer.contains(TOLD) && !answer.contains("SecretAccessKey"), "{answer}");
    let (_, status) = &fleet.status()[0];
    let token = &status["tokens"][0];
    assert_eq!((&token["name"], &token["state"]), (&"github/acme".into(), &"unconfigured".into()));
    assert!(!scene.run(&["login", "acme"]).status.success(), "nobody can log in to it");
    let calls = scene.emulator.issuer_calls("/v1/credentials/github/token");
    assert_eq!(calls, issuer_calls, "nobody was asked");

    scene.write_config(&good);
    eventually("keys", || ask().contains("SecretAccessKey"));
    assert_ne!(shown(), while_broken, "everybody could read it");
    assert!(fleet.read("ops", "credmount/github/acme/error").contains("nobody is signed in"));
}
