//! Items of the documents that no other module is about.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Scene, arn, ini_value};

/// What a check without a mount tells of one role.
fn check(scene: &Scene, args: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = scene.credmount(&[&["check", "--json"], args].concat());
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let told: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    told[0].clone()
}

/// The design has `duration`, `role_session_name` and `external_id` beside the role, and a switch
/// for a cache that is always there.
#[test]
fn roles_of_the_aws_auth_design_are_served_as_they_stand() {
    let Some(scene) = Scene::mountable() else { return };
    let role = json!({
        "role_arn": arn("sre"),
        "account_id": "123456789012",
        "role_session_name": "SREBotSession",
        "duration": 900,
        "external_id": "agreed",
    });
    let roles = json!({ "other": { "role_arn": arn("other") }, "sre": role }).to_string();
    let daemon = scene.mount_with(&["--region", "eu-west-1"], |command| {
        command
            .env("AWS_AUTH_ROLES", &roles)
            .env("AWS_AUTH_DEFAULT_ROLE", "sre")
            .env("AWS_AUTH_ENABLE_CACHING", "true");
    });
    let text = daemon.credentials();
    let key = |section| ini_value(&text, section, "aws_access_key_id").expect("a key");
    assert_eq!(key("default"), key("sre"));
    let calls = scene.emulator.calls();
    let of = |name| calls.iter().find(|call| call.role_name() == Some(name)).expect("a call");
    assert_eq!(of("sre").session_name.as_deref(), Some("SREBotSession"));
    assert_eq!(of("sre").duration_seconds.as_deref(), Some("900"));
    assert_eq!(of("sre").external_id.as_deref(), Some("agreed"));
    assert_eq!(of("other").duration_seconds.as_deref(), Some("3600"), "the default");
    for (duration, problem) in [(json!(899), "too short"), (json!(43_201), "too long")] {
        let mut wrong = role.clone();
        wrong["duration"] = duration;
        let roles = json!({ "sre": wrong }).to_string();
        let output = scene.credmount(&["check"]).env("AWS_AUTH_ROLES", roles).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(problem), "{said}");
    }
}

#[test]
fn roles_of_several_accounts_are_served_in_one_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let accounts = ["123456789012", "210987654321", "000000000007"];
    let roles = accounts.map(|id| format!("--role=in-{id}=arn:aws:iam::{id}:role/admin"));
    let mut args: Vec<&str> = roles.iter().map(String::as_str).collect();
    args.extend(["--region", "eu-west-1"]);
    let daemon = scene.mount(&args);
    let text = daemon.credentials();
    for id in accounts {
        let section = format!("in-{id}");
        assert_eq!(ini_value(&text, &section, "aws_account_id").as_deref(), Some(id));
        let key = ini_value(&text, &section, "aws_access_key_id").expect("a key");
        let session = scene.emulator.session(&key).expect("ours");
        assert!(session.arn.starts_with(&format!("arn:aws:sts::{id}:assumed-role/admin/")));
    }
}

#[test]
fn each_partition_is_called_in_a_region_of_its_own() {
    let scene = Scene::new();
    for (partition, region) in
        [("aws", "us-east-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
    {
        let role = format!("arn:{partition}:iam::123456789012:role/admin");
        let told = check(&scene, &["--role", &role], &[]);
        assert_eq!(told["result"], "ok", "{told}");
        let arn = told["arn"].as_str().unwrap();
        assert!(arn.starts_with(&format!("arn:{partition}:sts::")), "{told}");
        let call = scene.emulator.calls().into_iter().rfind(|call| call.action == "AssumeRole");
        assert_eq!(call.unwrap().region.as_deref(), Some(region));
    }
    // And what names another partition is not followed there.
    let told = check(
        &scene,
        &["--role", "arn:aws-cn:iam::123456789012:role/admin"],
        &[("AWS_REGION", "eu-west-1")],
    );
    assert_eq!(told["result"], "ok", "{told}");
    let call = scene.emulator.calls().into_iter().rfind(|call| call.action == "AssumeRole");
    assert_eq!(call.unwrap().region.as_deref(), Some("cn-north-1"));
}

#[test]
fn without_any_region_sts_is_called_in_us_east_1() {
    let scene = Scene::new();
    check(&scene, &["--role", &arn("prod")], &[]);
    let regions: BTreeSet<_> = scene.emulator.calls().into_iter().map(|call| call.region).collect();
    assert_eq!(regions, BTreeSet::from([Some("us-east-1".to_owned())]));
}

#[test]
fn base_keys_never_reach_a_reader() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let base = [scene.emulator.base_access_key_id(), scene.emulator.base_secret_access_key()];
    let mut files = 0;
    let mut directories = vec![daemon.mountpoint.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(base.iter().all(|key| !text.contains(key)), "{}", path.display());
        }
    }
    assert!(files >= 5, "{files}");
}

/// SDKs tell a profile that is not there from one that fails; a mount must not blur that.
#[test]
fn a_profile_that_is_not_served_is_not_there() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    for file in ["credentials", "config"] {
        let text = std::fs::read_to_string(daemon.file(file)).unwrap();
        assert!(!text.contains("unknown"), "{file}");
        let sections = text.lines().filter(|line| line.starts_with('['));
        for section in sections {
            let name = section.trim_matches(['[', ']']).trim_start_matches("profile ");
            assert!(["default", "prod", "default@live", "prod@live"].contains(&name), "{section}");
        }
    }
}
