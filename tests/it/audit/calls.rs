//! Each call that gives a session or a token is recorded by the name of its action.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::emulator::{Decision, RoleRules, jwt};
use crate::support::{Daemon, Scene, arn, eventually, ini_value, wait_for};

use super::records_of;

const ACCOUNT: &str = "123456789012";
const DEVICE: &str = "arn:aws:iam::123456789012:mfa/dev";

/// A role behind MFA, one of IAM Identity Center, and one for a token from a file; a token for
/// GitHub.
fn configured(scene: &Scene) -> String {
    let aws = scene.path("home/.aws");
    fs::create_dir_all(&aws).unwrap();
    let (id, secret) =
        (scene.emulator.base_access_key_id(), scene.emulator.base_secret_access_key());
    let profiles = format!(
        "[profile keys]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\
         [profile staff]\nrole_arn = {}\nsource_profile = keys\nmfa_serial = {DEVICE}\n\
         [profile dev]\nsso_session = corp\nsso_account_id = {ACCOUNT}\nsso_role_name = Admin\n\
         [sso-session corp]\nsso_region = eu-west-1\n\
         sso_start_url = https://example.awsapps.com/start\n",
        arn("staff")
    );
    fs::write(aws.join("config"), profiles).unwrap();
    scene.emulator.set_role("staff", RoleRules { requires_mfa: true, ..RoleRules::default() });
    let token = scene.path("token");
    let exp = scene.emulator.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    fs::write(&token, jwt(&json!({ "iss": "https://idp.example", "sub": "pod", "exp": exp })))
        .unwrap();
    let file = scene.path("config.toml");
    let text = format!(
        "region = \"eu-west-1\"\naudit_log = \"{}\"\n\
         [identities.staff]\ntype = \"vouch\"\nissuer = \"{}\"\nclient_id = \"credmount\"\n\
         [github.acme]\nidentity = \"staff\"\n\
         [roles.pod]\nrole_arn = \"{}\"\nweb_identity_token_file = \"{}\"\n",
        scene.path("audit.jsonl").display(),
        scene.emulator.issuer(),
        arn("pod"),
        token.display(),
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Logs in, which a person agrees to at once.
fn log_in(scene: &Scene, args: &[&str], codes: impl Fn() -> Option<String>, agree: impl Fn(&str)) {
    let mut command = scene.credmount(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    agree(&wait_for("a user code", codes));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The one record of this kind that tells of success.
#[track_caller]
fn call(scene: &Scene, event: &str) -> Value {
    let calls = records_of(&scene.path("audit.jsonl"), event);
    calls.into_iter().find(|call| call["result"] == "ok").unwrap_or_else(|| panic!("no {event}"))
}

fn serves(daemon: &Daemon<'_>, profile: &str) -> String {
    wait_for(profile, || ini_value(&daemon.credentials(), profile, "aws_access_key_id"))
}

#[test]
fn each_call_is_recorded_and_counted_by_its_own_name() {
    let Some(scene) = Scene::mountable() else { return };
    let config = configured(&scene);
    let roles = ["staff", "dev", "pod"].map(|role| ["--role", role]).concat();
    let daemon =
        scene.mount(&[&["--config", &config, "--token", "github/acme"][..], &roles].concat());
    let code = scene.emulator.mfa_code(DEVICE);
    assert!(scene.run(&["mfa", "staff", &code]).status.success());
    let emulator = &scene.emulator;
    log_in(
        &scene,
        &["login", "dev"],
        || emulator.user_codes().pop(),
        |code| {
            assert!(emulator.decide(code, Decision::Approve));
        },
    );
    log_in(
        &scene,
        &["login", "staff"],
        || emulator.login_codes().pop(),
        |code| {
            assert!(emulator.decide_login(code, Decision::Approve));
        },
    );
    let keys = ["staff", "dev", "pod"].map(|profile| serves(&daemon, profile));
    eventually("a token", || !emulator.github_tokens().is_empty());
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

    let metrics = String::from_utf8(scene.run(&["status", "--prometheus"]).stdout).unwrap();
    for (role, action) in [
        (arn("staff").as_str(), "AssumeRole"),
        (arn("pod").as_str(), "AssumeRoleWithWebIdentity"),
        (DEVICE, "GetSessionToken"),
        (&format!("{ACCOUNT}/Admin"), "GetRoleCredentials"),
        ("github/acme", "Token"),
    ] {
        let sample = format!(
            "credmount_renewals_total{{role=\"{role}\",action=\"{action}\",result=\"ok\"}} 1"
        );
        assert!(metrics.contains(&sample), "{sample}\n{metrics}");
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
