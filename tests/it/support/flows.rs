//! One machine with every kind of identity: a role behind MFA, one of IAM Identity Center, one for a
//! web identity token, one for a login at an issuer, and a token for GitHub.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use super::{Daemon, Scene, arn, ini_value, wait_for};
use crate::emulator::{Decision, RoleRules, jwt};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const DEVICE: &str = "arn:aws:iam::123456789012:mfa/dev";

/// The profiles `staff` (MFA), `dev` (IAM Identity Center), `pod` (a token from a file) and `vouched`
/// (a login), the token `github/acme`, and an audit log. Returns the configuration.
pub(crate) fn configure(scene: &Scene) -> String {
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
         [roles.vouched]\nrole_arn = \"{}\"\nidentity = \"staff\"\n\
         [roles.pod]\nrole_arn = \"{}\"\nweb_identity_token_file = \"{}\"\n",
        scene.path("audit.jsonl").display(),
        scene.emulator.issuer(),
        arn("vouched"),
        arn("pod"),
        token.display(),
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Logs in, which a person agrees to at once.
fn log_in(scene: &Scene, name: &str, codes: impl Fn() -> Option<String>, agree: impl Fn(&str)) {
    let mut command = scene.credmount(&["login", name]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    agree(&wait_for("a user code", codes));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A person signs in to IAM Identity Center.
pub(crate) fn sign_in(scene: &Scene) {
    let code = || scene.emulator.user_codes().pop();
    log_in(scene, "dev", code, |code| assert!(scene.emulator.decide(code, Decision::Approve)));
}

/// A person logs in at the issuer, of which a running daemon has an identity.
pub(crate) fn log_in_at_issuer(scene: &Scene) {
    let code = || scene.emulator.login_codes().pop();
    let agree = |code: &str| assert!(scene.emulator.decide_login(code, Decision::Approve));
    log_in(scene, "staff", code, agree);
}

/// A person gives the code of the device. Returns it.
pub(crate) fn give_code(scene: &Scene) -> String {
    let code = scene.emulator.mfa_code(DEVICE);
    let output = scene.run(&["mfa", "staff", &code]);
    assert!(output.status.success(), "{output:?}");
    code
}

/// The key that a profile serves, as soon as it does.
pub(crate) fn key_of(daemon: &Daemon<'_>, profile: &str) -> String {
    wait_for(profile, || ini_value(&daemon.credentials(), profile, "aws_access_key_id"))
}
