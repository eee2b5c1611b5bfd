//! Logins at an issuer: device codes, access tokens, refresh tokens, and the tokens that AWS is given
//! for them.

use std::process::Child;

use super::keys::suffer;
use crate::emulator::{Decision, Fault, RoleRules, WebIdentityTrust};
use crate::leaks::life::Life;
use crate::support::{arn, wait_for};

const LOGIN: [&str; 2] = ["login", "corp"];

/// `[identities.corp]` of this type.
pub(super) fn identity(life: &Life<'_>, kind: &str) -> String {
    let issuer = life.scene.emulator.issuer();
    format!(
        "[identities.corp]\ntype = \"{kind}\"\nissuer = \"{issuer}\"\nclient_id = \"credmount\"\n"
    )
}

/// A login that waits for the person, and its code.
fn begun(life: &mut Life<'_>) -> (Child, String) {
    let before = life.scene.emulator.login_codes();
    let child = life.start(&LOGIN, "");
    let codes = || life.scene.emulator.login_codes().into_iter();
    let code = wait_for("a user code", || codes().find(|code| !before.contains(code)));
    (child, code)
}

pub(super) fn login(life: &mut Life<'_>, decision: Decision) -> Option<i32> {
    let (child, code) = begun(life);
    assert!(life.scene.emulator.decide_login(&code, decision), "the code is under way");
    life.ended(&LOGIN, child)
}

/// What the issuer may do to those who ask it for something.
pub(super) fn vex(life: &mut Life<'_>) {
    let emulator = &life.scene.emulator;
    emulator.set_issuer(|issuer| issuer.echoes = true);
    life.refresh("while the issuer repeats what it is sent");
    emulator.set_issuer(|issuer| issuer.echoes = false);
    // The access token is good for nothing, so the refresh token is sent; and repeated.
    emulator.revoke_logins(false);
    emulator.set_issuer(|issuer| issuer.echoes = true);
    life.refresh("while the issuer repeats a refresh token");
    emulator.set_issuer(|issuer| issuer.echoes = false);
    life.refresh("when the login is renewed");
    emulator.set_issuer(|issuer| issuer.is_down = true);
    life.refresh("while the issuer is down");
    emulator.set_issuer(|issuer| issuer.is_down = false);
}

fn lived(life: &mut Life<'_>, kind: &str) {
    let emulator = &life.scene.emulator;
    let (issuer, subject) = (Some(emulator.issuer()), Some("jane".to_owned()));
    let trust = WebIdentityTrust { issuer, subject, ..WebIdentityTrust::default() };
    emulator.set_role("prod", RoleRules { web_identity: Some(trust), ..Default::default() });
    let text = format!(
        "region = \"eu-west-1\"\n{}[roles.prod]\nrole_arn = \"{}\"\nidentity = \"corp\"\n",
        identity(life, kind),
        arn("prod")
    );
    life.configure(&text);
    life.mount(&[]);
    emulator.set_issuer(|issuer| issuer.echoes = true);
    assert_eq!(life.run(&LOGIN), Some(1));
    emulator.set_issuer(|issuer| issuer.echoes = false);
    assert_eq!(login(life, Decision::Deny), Some(1));
    // The device code is repeated in the middle of it.
    let (child, _) = begun(life);
    emulator.set_issuer(|issuer| issuer.echoes = true);
    assert_eq!(life.ended(&LOGIN, child), Some(1));
    emulator.set_issuer(|issuer| issuer.echoes = false);
    assert_eq!(login(life, Decision::Approve), Some(0));
    life.shows("credentials");
    life.shows("credmount/process/prod.json");
    suffer(life, "AssumeRoleWithWebIdentity", &[Fault::Echo, Fault::DropMidAnswer]);
    vex(life);
    emulator.revoke_logins(true);
    life.refresh("at the end of the login");
    assert!(emulator.issuer_secrets().len() >= 6, "tokens of all kinds were given");
    for words in ["LoginNeeded", "nobody is signed in", "[redacted]"] {
        life.expect_said(words);
    }
}

pub(super) fn with_id_token(life: &mut Life<'_>) {
    lived(life, "oidc-device");
}

pub(super) fn with_token_url(life: &mut Life<'_>) {
    lived(life, "vouch");
    assert!(life.scene.emulator.issuer_calls("/v1/credentials/aws/token") > 0);
}
