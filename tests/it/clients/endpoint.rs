//! Clients that know the endpoint and the token, and no other file of the mount: as in an image that
//! has neither `cat` nor a shell.

use std::net::SocketAddr;
use std::process::Command;

use super::long_running::{LIFETIME, outlives_three_sessions};
use super::rig::{BROKEN, Client, ELSEWHERE, REASON, Rig, Temptation, run, told};
use crate::support::{Scene, free_address};

/// A client that is to ask for the keys of `role`.
fn command(rig: &Rig<'_>, client: Client, address: SocketAddr, role: &str) -> Option<Command> {
    let mut command = rig.client(client, ELSEWHERE)?;
    let token = rig.daemon.file("credmount/endpoint/token");
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/role/{role}"))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_DEFAULT_REGION", "eu-west-1");
    Some(command)
}

#[track_caller]
fn check(client: Client) {
    let scene = Scene::new();
    let address = free_address();
    let Some(rig) = Rig::start(&scene, &["--endpoint", &address.to_string()]) else { return };
    for role in ["prod", "dev"] {
        let Some(mut command) = command(&rig, client, address, role) else { return };
        rig.expect_identity(&mut command, role);
    }
}

#[test]
fn boto3_gets_its_keys_from_the_endpoint() {
    check(Client::Boto3);
}

#[test]
fn the_cli_gets_its_keys_from_the_endpoint() {
    check(Client::Cli);
}

#[test]
fn javascript_gets_its_keys_from_the_endpoint() {
    check(Client::JavaScript);
}

#[test]
fn rust_gets_its_keys_from_the_endpoint() {
    check(Client::Rust);
}

/// The client must fail, say `reason`, and not go on to the role of the machine.
#[track_caller]
fn check_failing(client: Client, reason: &str) {
    let scene = Scene::new();
    let address = free_address();
    let Some(rig) = Rig::start(&scene, &["--endpoint", &address.to_string()]) else { return };
    let temptation = Temptation::start(&scene.emulator);
    let Some(mut command) = command(&rig, client, address, BROKEN) else { return };
    let machine = temptation.url.trim_end_matches("/keys");
    command
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine);
    let output = run(&mut command);
    let said = told(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(reason), "{said}");
    assert_eq!(rig.identity_calls().len(), 0, "no call was signed with other keys");
    assert_eq!(temptation.asked(), 0, "the machine was not asked for keys");
}

#[test]
fn boto3_tells_why_the_endpoint_has_no_keys() {
    check_failing(Client::Boto3, REASON);
}

#[test]
fn the_cli_tells_why_the_endpoint_has_no_keys() {
    check_failing(Client::Cli, REASON);
}

#[test]
fn javascript_fails_if_the_endpoint_has_no_keys() {
    check_failing(Client::JavaScript, "CredentialsProviderError");
}

#[test]
fn rust_tells_that_the_endpoint_has_no_keys() {
    check_failing(Client::Rust, "Non-success status from HTTP credential provider");
}

/// One process with one client, that asks the endpoint again before each end of its session.
#[track_caller]
fn check_live(client: Client) {
    let scene = Scene::new();
    scene.emulator.set_session_lifetime(Some(LIFETIME));
    let address = free_address();
    let Some(rig) = Rig::start(&scene, &["--endpoint", &address.to_string()]) else { return };
    let Some(mut command) = command(&rig, client, address, "prod") else { return };
    outlives_three_sessions(&rig, &mut command);
}

#[test]
fn boto3_outlives_three_sessions_by_the_endpoint() {
    check_live(Client::Boto3);
}

#[test]
fn javascript_outlives_three_sessions_by_the_endpoint() {
    check_live(Client::JavaScript);
}

#[test]
fn rust_outlives_three_sessions_by_the_endpoint() {
    check_live(Client::Rust);
}
