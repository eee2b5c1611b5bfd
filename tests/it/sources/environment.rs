//! Keys in the environment, and the order in which the standard chain looks.

use super::{aws_files, base_keys, key, without_keys};
use crate::support::Scene;
use crate::support::daemon::arn;

fn prod_by_environment() -> String {
    let prod = arn("prod");
    format!(
        "[profile prod]\nrole_arn = {prod}\ncredential_source = Environment\nregion = eu-west-1\n"
    )
}

/// `credential_source = Environment` is the environment alone: where it has no keys, those of the
/// shared files do not take their place.
#[test]
fn a_role_of_the_environment_is_assumed_with_the_keys_of_the_environment_only() {
    let Some(scene) = Scene::mountable() else { return };
    let shared = "[default]\naws_access_key_id = AKIASHARED\naws_secret_access_key = s\n";
    aws_files(&scene, &prod_by_environment(), shared);
    let daemon = scene.mount(&["--role", "prod"]);
    assert!(key(&daemon.credentials(), "prod").is_some());
    let signer = scene.emulator.calls()[0].caller_access_key_id.clone();
    assert_eq!(signer.as_deref(), Some(scene.emulator.base_access_key_id()));
    drop(daemon);

    let mut check = scene.credmount(&["check", "--role", "prod"]);
    let output = without_keys(&mut check).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("base credentials of the environment: no base credentials"), "{said}");
}

/// The order of the AWS SDK for Rust: environment, profile, web identity, container, instance.
#[test]
fn the_standard_chain_takes_the_first_source_that_has_keys() {
    let scene = Scene::new();
    let shared = base_keys(&scene).replace("[base]", "[default]");
    let signer = |without_environment: bool, shared: &str, container: bool| {
        aws_files(&scene, "[default]\nregion = eu-west-1\n", shared);
        let mut check = scene.credmount(&["check", "--role", &arn("prod")]);
        check
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", scene.emulator.endpoint());
        if without_environment {
            without_keys(&mut check);
        } else {
            check.env("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT");
        }
        if container {
            check.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", scene.emulator.container_uri());
        }
        check.output().unwrap();
        let calls = scene.emulator.calls();
        let call = calls.iter().rfind(|call| call.action == "AssumeRole").expect("a call");
        let key = call.caller_access_key_id.clone().expect("a signature");
        scene.emulator.session(&key).map_or(key, |session| session.arn)
    };
    assert_eq!(signer(false, &shared, true), "AKIAENVIRONMENT");
    assert_eq!(signer(true, &shared, true), scene.emulator.base_access_key_id());
    let role = "arn:aws:sts::123456789012:assumed-role";
    assert_eq!(signer(true, "", true), format!("{role}/container/container"));
    assert_eq!(signer(true, "", false), format!("{role}/instance/i-0123456789abcdef0"));
}
