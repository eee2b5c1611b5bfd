//! `credmount login`, from the code on the terminal to keys in the mount.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::emulator::Decision;
use crate::support::wait::now;
use crate::support::{eventually, flows, skipped, variable, wait_for};

/// A `credmount login` under way, with the code that it shows.
pub(super) struct Login {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
    code: String,
    page: String,
}

impl Login {
    pub(super) fn start(scene: &Scene, args: &[&str]) -> Self {
        Self::of(scene.credmount(&[&["login"], args].concat()))
    }

    fn of(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        // The page and the code stand on lines of their own, indented.
        let mut indented = || loop {
            let mut line = String::new();
            assert!(told.read_line(&mut line).unwrap() > 0, "it ended too soon");
            if let Some(text) = line.strip_prefix("  ") {
                return text.trim_end().to_owned();
            }
        };
        let (page, code) = (indented(), indented());
        Self { child, told, code, page }
    }

    pub(super) fn decide(&self, scene: &Scene, decision: Decision) {
        assert!(scene.emulator.decide(&self.code, decision), "the code is under way");
    }

    /// Its exit code, and what it said after the code, on both ways.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.told.read_to_string(&mut text).unwrap();
        let output = self.child.wait_with_output().unwrap();
        text += &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    }
}

fn new_scene() -> Scene {
    let scene = Scene::new();
    write_profiles(&scene);
    scene
}

fn cached(scene: &Scene, stem: &str) -> Value {
    serde_json::from_slice(&fs::read(cache_file(scene, stem)).unwrap()).unwrap()
}

/// Signs in and approves.
fn approve(scene: &Scene, args: &[&str]) -> String {
    let login = Login::start(scene, args);
    login.decide(scene, Decision::Approve);
    let (code, text) = login.end();
    assert_eq!(code, Some(0), "{text}");
    text
}

#[test]
fn a_login_writes_what_the_aws_cli_and_the_sdks_share() {
    let scene = new_scene();
    let text = approve(&scene, &["dev"]);
    assert!(text.contains("signed in to corp until "), "{text}");
    let token = cached(&scene, CORP);
    assert_eq!(token["startUrl"], START_URL);
    assert_eq!(token["region"], "eu-west-1");
    for name in [
        "accessToken",
        "expiresAt",
        "clientId",
        "clientSecret",
        "registrationExpiresAt",
        "refreshToken",
    ] {
        assert!(token[name].as_str().is_some_and(|value| !value.is_empty()), "{name}");
    }
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = cache_file(&scene, CORP);
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    // The registration is used again.
    approve(&scene, &["corp"]);
    assert_eq!(scene.emulator.action_count("RegisterClient"), 1);
    assert_ne!(cached(&scene, CORP)["accessToken"], token["accessToken"]);
    assert_eq!(cached(&scene, CORP)["clientId"], token["clientId"]);
}

#[test]
fn a_profile_with_a_start_url_of_its_own_signs_in_without_refresh() {
    let scene = new_scene();
    let text = approve(&scene, &["legacy"]);
    assert!(text.contains(&format!("signed in to {START_URL} until ")), "{text}");
    assert_eq!(cached(&scene, LEGACY)["refreshToken"], Value::Null);
}

#[test]
fn boto3_uses_our_login_and_we_use_what_it_writes() {
    let Some(python) = variable("CREDMOUNT_TEST_PYTHON") else {
        return skipped("CREDMOUNT_TEST_PYTHON names no Python with boto3");
    };
    let scene = new_scene();
    // So short that boto3 exchanges the token at once.
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_mins(10));
    approve(&scene, &["dev"]);
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_hours(1));
    let before = cached(&scene, CORP);
    let who_am_i = "import boto3; s = boto3.Session(profile_name='dev', region_name='eu-west-1'); \
                    print(s.client('sts').get_caller_identity()['Arn'])";
    let output = scene.command(python).args(["-c", who_am_i]).output().unwrap();
    let arn = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(arn.contains(":assumed-role/AWSReservedSSO_Admin_"), "{arn}{error}");
    let after = cached(&scene, CORP);
    assert_ne!(before["accessToken"], after["accessToken"], "boto3 has written it");
    let output = scene.run(&["render", "--role", "dev"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(scene.emulator.action_count("CreateToken"), 2, "ours and that of boto3");
    assert_eq!(cached(&scene, CORP), after);
}

#[test]
fn a_login_gives_keys_to_daemons_that_wait_for_it() {
    let Some(scene) = Scene::mountable() else { return };
    write_profiles(&scene);
    let daemon = scene.mount(&["--role", "me=dev", "--role", "behind"]);
    assert_eq!(key(&daemon, "me"), None);
    // By the name that readers see.
    let login = Login::start(&scene, &["me"]);
    login.decide(&scene, Decision::Approve);
    let (code, text) = login.end();
    assert_eq!(code, Some(0), "{text}");
    let at = daemon.mountpoint.display();
    let renewed: Vec<String> = ["me", "behind"].map(|it| format!("renewed: {it} in {at}")).into();
    // The daemon may have noticed by itself before it was told.
    assert!(
        text.lines().skip(1).all(|line| line.is_empty()
            || renewed.contains(&line.to_owned())
            || line.starts_with("signed in")),
        "{text}"
    );
    for profile in ["me", "behind"] {
        assert!(key(&daemon, profile).is_some(), "{profile}: {}", daemon.log());
    }
}

#[test]
fn a_sign_in_is_no_matter_of_roles_that_wait_for_another_login() {
    let Some(scene) = Scene::mountable() else { return };
    let config = flows::configure(&scene);
    let daemon = scene.mount(&["--config", &config, "--role", "dev", "--role", "vouched"]);
    eventually("both to wait", || {
        let status = daemon.status();
        let waits = |role: &Value| role["last_cause"] == "LoginNeeded";
        status["roles"].as_array().is_some_and(|roles| roles.iter().all(waits))
    });
    let text = approve(&scene, &["dev"]);
    assert!(text.contains("signed in") && !text.contains("vouched"), "{text}");
}

#[test]
fn a_login_that_is_denied_or_too_late_leaves_nothing() {
    let scene = new_scene();
    let denied = Login::start(&scene, &["dev"]);
    denied.decide(&scene, Decision::Deny);
    let (code, text) = denied.end();
    assert_eq!(code, Some(1));
    assert!(text.contains("the sign-in to corp was denied"), "{text}");
    let late = Login::start(&scene, &["dev"]);
    scene.emulator.expire_user_codes();
    let (code, text) = late.end();
    assert_eq!(code, Some(1));
    assert!(text.contains("nobody approved the sign-in to corp in time"), "{text}");
    assert!(!cache_file(&scene, CORP).exists());
}

#[test]
fn a_service_that_wants_fewer_polls_gets_fewer() {
    let scene = new_scene();
    scene.emulator.slow_down(1);
    let start = now();
    let login = Login::start(&scene, &["dev"]);
    eventually("the first poll", || scene.emulator.action_count("CreateToken") == 1);
    login.decide(&scene, Decision::Approve);
    let (code, text) = login.end();
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(scene.emulator.action_count("CreateToken"), 2);
    assert!(start.elapsed() >= Duration::from_secs(7), "1 s, and 1 s and 5 s more");
}

#[test]
fn an_interrupted_login_ends_at_once_and_leaves_nothing() {
    let scene = new_scene();
    let login = Login::start(&scene, &["dev"]);
    let pid = rustix::process::Pid::from_child(&login.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (code, _) = login.end();
    assert_eq!(code, Some(130));
    assert!(!cache_file(&scene, CORP).exists());
}

#[test]
fn a_browser_is_opened_if_asked_for_and_missed_by_nobody() {
    let scene = new_scene();
    let (bin, opened) = (scene.path("bin"), scene.path("opened"));
    fs::create_dir(&bin).unwrap();
    let login = |path: &std::ffi::OsStr| {
        let mut command = scene.credmount(&["login", "dev", "--open-browser"]);
        command.env("PATH", path);
        let login = Login::of(command);
        login.decide(&scene, Decision::Approve);
        (login.page.clone(), login.end())
    };
    let (_, (code, text)) = login(bin.as_os_str());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no browser could be opened"), "{text}");
    let script = bin.join("xdg-open");
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" > '{}'\n", opened.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (page, (code, text)) = login(bin.as_os_str());
    assert_eq!(code, Some(0), "{text}");
    let expected = format!("1\n{page}\n");
    wait_for("the browser", || {
        fs::read_to_string(&opened).ok().filter(|opened| *opened == expected)
    });
}

#[test]
fn a_name_may_be_left_out_only_where_there_is_one_sign_in() {
    let scene = new_scene();
    let run = |args: &[&str]| -> Output { scene.run(&[&["login"], args].concat()) };
    let refused = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&[]);
    assert!(told.contains("corp") && told.contains(START_URL), "{told}");
    let told = refused(&["nobody"]);
    assert!(told.contains("'nobody' needs no sign-in") && told.contains("corp"), "{told}");
    assert!(approve(&scene, &["behind"]).contains("signed in to corp"));
    let config = scene.path("home/.aws/config");
    fs::write(&config, "[profile broken]\nsso_session = gone\n").unwrap();
    assert!(refused(&[]).contains("no profile of the AWS files signs in"));
    let output = run(&["broken"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there is no section [sso-session gone]"), "{told}");
    fs::write(
        &config,
        format!("[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = {START_URL}\n"),
    )
    .unwrap();
    assert!(approve(&scene, &[]).contains("signed in to corp"));
}
