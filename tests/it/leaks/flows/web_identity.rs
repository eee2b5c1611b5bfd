//! Tokens of files and of programs.

use std::time::UNIX_EPOCH;

use serde_json::json;

use super::keys::suffer;
use crate::emulator::{Fault, RoleRules, WebIdentityTrust, jwt};
use crate::leaks::life::Life;
use crate::leaks::search::PLANTED;
use crate::support::arn;

/// A token that ends so many seconds from now; it is a secret from now on.
fn token(life: &mut Life<'_>, seconds: i64) -> String {
    let now = life.scene.emulator.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let exp = now.saturating_add_signed(seconds);
    let claims = json!({ "iss": "https://idp.example", "aud": "a", "sub": "pod", "exp": exp });
    let token = jwt(&claims);
    life.secret("a web identity token", &token);
    token
}

/// The role `prod` with this line about its token, mounted; and all that may become of the token in
/// `place`.
fn lived(life: &mut Life<'_>, source: &str, place: &str) {
    let trust = WebIdentityTrust { subject: Some("pod".to_owned()), ..Default::default() };
    let rules = RoleRules { web_identity: Some(trust), ..Default::default() };
    life.scene.emulator.set_role("prod", rules);
    let role = arn("prod");
    life.configure(&format!(
        "region = \"eu-west-1\"\n[roles.prod]\nrole_arn = \"{role}\"\n{source}\n"
    ));
    let good = token(life, 600) + "\n";
    life.write(place, &good);
    life.mount(&[]);
    life.shows("credentials");
    life.shows("credmount/process/prod.json");
    let action = "AssumeRoleWithWebIdentity";
    suffer(life, action, &[Fault::Echo, Fault::Deny, Fault::DropMidAnswer, Fault::TruncatedXml]);
    let expired = token(life, -5) + "\n";
    let (key, words) = (PLANTED[0].1, PLANTED[1].1);
    for wrong in
        [expired, format!("{key}\n"), format!("{key} {words}\n"), format!("{key}\n{words}\n")]
    {
        life.write(place, &wrong);
        life.refresh("with a wrong token");
    }
    assert_eq!(life.run(&["check", "-vvv"]), Some(1));
    life.write(place, &good);
    assert_eq!(life.run(&["check", "-vvv"]), Some(0));
    for words in ["refused: WebIdentityToken [redacted]", "InvalidIdentityToken", "ExpiredToken"] {
        life.expect_said(words);
    }
}

pub(super) fn of_a_file(life: &mut Life<'_>) {
    let file = life.scene.path("token");
    lived(life, &format!("web_identity_token_file = \"{}\"", file.display()), "token");
}

pub(super) fn of_a_process(life: &mut Life<'_>) {
    let file = life.scene.path("token");
    let chatter = format!("echo {} >&2\n", PLANTED[1].1);
    let notes = life.write("notes", &chatter);
    let source = format!(
        "web_identity_process = \"\"\". {}; while read -r line; do echo \"$line\"; done < {}\"\"\"",
        notes.display(),
        file.display()
    );
    lived(life, &source, "token");
}
