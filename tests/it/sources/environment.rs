//! Keys in the environment, and the order in which the standard chain looks.

use serde_json::Value;

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
    let keys_of = |without_environment: bool, shared: &str, container: bool| {
        aws_files(&scene, "[default]\nregion = eu-west-1\n", shared);
        let mut check = scene.credmount(&["check", "--json", "--role", "default"]);
        check
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", scene.emulator.endpoint());
        if without_environment {
            without_keys(&mut check);
        } else {
            check.env("AWS_SESSION_TOKEN", "").env("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT");
        }
        if container {
            check.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", scene.emulator.container_uri());
        }
        let output = check.output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told[0].to_string()
    };
    // A key that nobody knows: it is the one that was taken.
    let environment = keys_of(false, &shared, true);
    assert!(environment.contains("InvalidClientTokenId"), "{environment}");
    assert!(keys_of(true, &shared, true).contains(":user/dev"));
    assert!(keys_of(true, "", true).contains(":assumed-role/container/"));
    assert!(keys_of(true, "", false).contains(":assumed-role/instance/"));
}
