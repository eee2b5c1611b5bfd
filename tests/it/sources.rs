//! Where the first credentials come from: profiles of the AWS files, chains, the environment.

mod chains;
mod environment;
mod options;
mod services;

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::daemon::arn;
use crate::support::{Scene, eventually, ini_value};

/// Writes `~/.aws/config` and `~/.aws/credentials` of the scene.
fn aws_files(scene: &Scene, config: &str, credentials: &str) {
    let aws = scene.path("home/.aws");
    fs::create_dir_all(&aws).unwrap();
    fs::write(aws.join("config"), config).unwrap();
    fs::write(aws.join("credentials"), credentials).unwrap();
}

fn key(text: &str, section: &str) -> Option<String> {
    ini_value(text, section, "aws_access_key_id")
}

fn base_keys(scene: &Scene) -> String {
    format!(
        "[base]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        scene.emulator.base_access_key_id(),
        scene.emulator.base_secret_access_key()
    )
}

/// Takes the base keys out of the environment of a daemon.
fn without_keys(command: &mut Command) -> &mut Command {
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY")
}

/// When the keys of a section end, as readers are told it.
fn expiration(text: &str, section: &str) -> Option<String> {
    ini_value(text, section, "x_security_token_expires")
}

#[test]
fn a_profile_without_role_arn_is_served_as_it_is() {
    let Some(scene) = Scene::mountable() else { return };
    aws_files(&scene, "", &base_keys(&scene));
    let daemon = scene.mount(&["--role", "base"]);
    let text = daemon.credentials();
    assert_eq!(key(&text, "base").unwrap(), scene.emulator.base_access_key_id());
    assert_eq!(ini_value(&text, "base", "aws_session_token"), None);
    assert_eq!(ini_value(&text, "base", "x_security_token_expires"), None);
    assert_eq!(daemon.status()["roles"][0]["role_arn"], Value::Null);
    assert_eq!(scene.emulator.calls().len(), 0, "nothing had to be asked of STS");
}

#[test]
fn a_credential_process_is_served_with_its_own_expiration_and_asked_again() {
    let Some(scene) = Scene::mountable() else { return };
    let (counter, program) = (scene.path("counter"), scene.path("process"));
    // Each run gives another key that lives four seconds.
    fs::write(
        &program,
        format!(
            "#!/bin/sh\necho >>'{0}'\nn=$(wc -l <'{0}')\n\
             printf '{{\"Version\":1,\"AccessKeyId\":\"ASIARUN%s\",\"SecretAccessKey\":\"s\",\
             \"SessionToken\":\"t\",\"Expiration\":\"%s\"}}' \"$n\" \
             \"$(date -u -d '+4 seconds' +%Y-%m-%dT%H:%M:%SZ)\"\n",
            counter.display()
        ),
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&program, mode).unwrap();
    let config = format!("[profile tool]\ncredential_process = {}\n", program.display());
    aws_files(&scene, &config, "");
    let daemon = scene.mount(&["--role", "tool"]);
    let text = daemon.credentials();
    assert!(key(&text, "tool").unwrap().starts_with("ASIARUN"));
    assert!(ini_value(&text, "tool", "x_security_token_expires").is_some());
    eventually("the third key", || {
        key(&daemon.credentials(), "tool").is_some_and(|key| key.as_str() >= "ASIARUN3")
    });
}

#[test]
fn a_chain_of_profiles_is_assumed_hop_by_hop() {
    let Some(scene) = Scene::mountable() else { return };
    let config = format!(
        "[profile hub]\nrole_arn = {}\nsource_profile = base\n\
         [profile leaf]\nrole_arn = {}\nsource_profile = hub\nregion = eu-central-1\n",
        arn("hub"),
        arn("leaf")
    );
    aws_files(&scene, &config, &base_keys(&scene));
    let daemon = scene.mount(&["--role", "leaf"]);
    let leaf = key(&daemon.credentials(), "leaf").unwrap();
    let calls = scene.emulator.calls();
    let caller = |role: &str| {
        let call = calls.iter().find(|call| call.role_arn.as_deref() == Some(&arn(role))).unwrap();
        (call.caller_access_key_id.clone().unwrap(), call.issued_access_key_id.clone().unwrap())
    };
    let (base, hub) = caller("hub");
    assert_eq!(base, scene.emulator.base_access_key_id());
    assert_eq!(caller("leaf"), (hub, leaf));
}

#[test]
fn roles_of_the_configuration_file_share_the_session_of_their_source_role() {
    let Some(scene) = Scene::mountable() else { return };
    let file = scene.path("config.toml");
    fs::write(
        &file,
        format!(
            "region = \"eu-west-1\"\n[roles.hub]\nrole_arn = \"{}\"\n\
             [roles.left]\nrole_arn = \"{}\"\nsource_role = \"hub\"\n\
             [roles.right]\nrole_arn = \"{}\"\nsource_role = \"hub\"\n",
            arn("hub"),
            arn("left"),
            arn("right")
        ),
    )
    .unwrap();
    // With no --role, all roles of the file.
    let daemon = scene.mount(&["--config", file.to_str().unwrap()]);
    let text = daemon.credentials();
    for section in ["default", "hub", "left", "right"] {
        assert!(key(&text, section).is_some(), "{section}");
    }
    for role in ["hub", "left", "right"] {
        assert_eq!(scene.emulator.call_count("AssumeRole", role), 1, "{role}");
    }
}

#[test]
fn roles_can_come_from_the_environment() {
    let Some(scene) = Scene::mountable() else { return };
    let own = format!("{{\"own\":{{\"role_arn\":\"{}\"}}}}", arn("own"));
    let compatible =
        format!("{{\"old\":{{\"role_arn\":\"{}\",\"account_id\":\"123456789012\"}}}}", arn("old"));
    let live = scene.path("live");
    let mounted = scene
        .credmount(&["--background", live.to_str().unwrap()])
        .env("CREDMOUNT_ROLES", own)
        .env("AWS_AUTH_ROLES", compatible)
        .env("AWS_AUTH_DEFAULT_ROLE", "old")
        .output()
        .unwrap();
    let text = fs::read_to_string(live.join("credentials"));
    let unmounted = scene.run(&["unmount", live.to_str().unwrap()]);
    assert!(mounted.status.success() && unmounted.status.success(), "{mounted:?} {unmounted:?}");
    let text = text.unwrap();
    assert!(key(&text, "own").is_some());
    assert_eq!(key(&text, "default"), key(&text, "old"));
}
