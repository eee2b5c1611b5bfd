//! IAM Identity Center: profiles that sign in, served live; and `credmount login`.

mod login;
mod states;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::emulator::SignIn;
use crate::support::{Daemon, Scene, ini_value};

/// The stems of the files of the sign-ins `corp` and [`START_URL`]: their SHA-1.
pub(crate) const CORP: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f";
const LEGACY: &str = "e8be5486177c5b5392bd9aa76563515b29358e6e";

const START_URL: &str = "https://example.awsapps.com/start";

const ACCOUNT: &str = "123456789012";

/// A session of its own and a profile that has it all in itself; a role behind the first.
pub(crate) fn write_profiles(scene: &Scene) {
    let aws = scene.path("home/.aws");
    fs::create_dir_all(&aws).unwrap();
    let of_role = format!("sso_account_id = {ACCOUNT}\nsso_role_name = Admin\n");
    let place = format!("sso_region = eu-west-1\nsso_start_url = {START_URL}\n");
    let config = format!(
        "[profile dev]\nsso_session = corp\n{of_role}\n[sso-session corp]\n{place}\
         [profile legacy]\n{of_role}{place}\
         [profile behind]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/behind\nsource_profile = dev\n\
         region = eu-west-1\n"
    );
    fs::write(aws.join("config"), config).unwrap();
}

pub(crate) fn cache_file(scene: &Scene, stem: &str) -> PathBuf {
    scene.path("home/.aws/sso/cache").join(stem).with_extension("json")
}

/// Writes a sign-in as the AWS CLI does.
pub(crate) fn write_sign_in(scene: &Scene, stem: &str, sign_in: &SignIn, refreshable: bool) {
    let time = |at| humantime::format_rfc3339_seconds(at).to_string();
    let mut token = json!({
        "startUrl": START_URL,
        "region": "eu-west-1",
        "accessToken": sign_in.access_token,
        "expiresAt": time(sign_in.expiration),
        "clientId": sign_in.client_id,
        "clientSecret": sign_in.client_secret,
        "registrationExpiresAt": time(sign_in.registration_expiration),
    });
    if refreshable {
        token["refreshToken"] = json!(sign_in.refresh_token);
    }
    let file = cache_file(scene, stem);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // In one step, as every client does: a daemon may read it at any time.
    let unfinished = file.with_extension("tmp");
    fs::write(&unfinished, token.to_string()).unwrap();
    fs::rename(unfinished, file).unwrap();
}

/// A person who has signed in to `corp`.
fn signed_in(refreshable: bool) -> Option<Scene> {
    let scene = Scene::mountable()?;
    write_profiles(&scene);
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), refreshable);
    Some(scene)
}

fn key(daemon: &Daemon<'_>, profile: &str) -> Option<String> {
    ini_value(&daemon.credentials(), profile, "aws_access_key_id")
}

/// The ARN of the session that a profile serves.
fn served(scene: &Scene, daemon: &Daemon<'_>, profile: &str) -> String {
    let key = key(daemon, profile).unwrap_or_else(|| panic!("{}", daemon.log()));
    scene.emulator.session(&key).expect("a session of the emulator").arn
}

fn portal_calls(scene: &Scene) -> usize {
    scene.emulator.action_count("GetRoleCredentials")
}

const SHORT: Duration = Duration::from_secs(4);
