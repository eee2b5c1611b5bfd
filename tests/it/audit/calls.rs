//! Each call that gives a session or a token is recorded by the name of its action.

use std::fs;

use serde_json::{Value, json};

use super::records_of;
use crate::support::flows::{self, ACCOUNT, DEVICE};
use crate::support::{Scene, arn, eventually, wait_for};

/// The one record of this kind that tells of success. No session is held back until it is written.
#[track_caller]
/// The last of these calls that gave something. A login renews what has renewed itself just before.
fn call(scene: &Scene, event: &str) -> Value {
    wait_for(event, || succeeded(scene, event).pop())
}

fn succeeded(scene: &Scene, event: &str) -> Vec<Value> {
    let mut calls = records_of(&scene.path("audit.jsonl"), event);
    calls.retain(|call| call["result"] == "ok");
    calls
}

#[test]
fn each_call_is_recorded_and_counted_by_its_own_name() {
    let Some(scene) = Scene::mountable() else { return };
    let config = flows::configure(&scene);
    let roles = ["staff", "dev", "pod"].map(|role| ["--role", role]).concat();
    let daemon =
        scene.mount(&[&["--config", &config, "--token", "github/acme"][..], &roles].concat());
    let code = flows::give_code(&scene);
    flows::sign_in(&scene);
    flows::log_in_at_issuer(&scene);
    let keys = ["staff", "dev", "pod"].map(|profile| flows::key_of(&daemon, profile));
    eventually("a token", || !scene.emulator.github_tokens().is_empty());
    let hash = wait_for("the token to be told", || {
        daemon.status()["tokens"][0]["hash"].as_str().map(str::to_owned)
    });

    let behind_mfa = call(&scene, "assume_role");
    assert_eq!(
        (&behind_mfa["role_arn"], &behind_mfa["access_key_id"]),
        (&json!(arn("staff")), &json!(keys[0]))
    );
    assert!(behind_mfa["session_name"].is_string() && behind_mfa.get("subject").is_none());
    let session = call(&scene, "get_session_token");
    assert_eq!(session["subject"], DEVICE);
    assert!(session["expiration"].is_string() && session["request_id"].is_string(), "{session}");
    assert!(session.get("role_arn").is_none() && session.get("session_name").is_none());
    let signed_in = call(&scene, "get_role_credentials");
    assert_eq!(signed_in["subject"], format!("{ACCOUNT}/Admin"));
    assert_eq!(signed_in["access_key_id"], keys[1]);
    let by_token = call(&scene, "assume_role_with_web_identity");
    assert_eq!(
        (&by_token["role_arn"], &by_token["access_key_id"]),
        (&json!(arn("pod")), &json!(keys[2]))
    );
    let token = call(&scene, "token");
    assert_eq!((&token["subject"], &token["access_key_id"]), (&json!("github/acme"), &json!(hash)));

    for (role, action, event) in [
        (arn("staff").as_str(), "AssumeRole", "assume_role"),
        (arn("pod").as_str(), "AssumeRoleWithWebIdentity", "assume_role_with_web_identity"),
        (DEVICE, "GetSessionToken", "get_session_token"),
        (&format!("{ACCOUNT}/Admin"), "GetRoleCredentials", "get_role_credentials"),
        ("github/acme", "Token", "token"),
    ] {
        let sample = format!(
            "credmount_renewals_total{{role=\"{role}\",action=\"{action}\",result=\"ok\"}}"
        );
        eventually(&sample, || {
            let metrics = scene.run(&["status", "--prometheus"]).stdout;
            let counted = format!("{sample} {}\n", succeeded(&scene, event).len());
            String::from_utf8(metrics).unwrap().contains(&counted)
        });
    }
    let log = fs::read_to_string(scene.path("audit.jsonl")).unwrap();
    assert!(!log.contains(&code), "the code is in the audit log");
    let shown =
        scene.run(&["audit", "--role", "Admin", scene.path("audit.jsonl").to_str().unwrap()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains(&format!(
            "get_role_credentials  got the keys of {ACCOUNT}/Admin, key {}",
            keys[1]
        )),
        "{shown}"
    );
}
