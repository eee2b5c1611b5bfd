//! Tokens of services other than AWS: for GitHub, as a file and for git, and the token of an identity;
//! keys and certificates for ssh.

use std::fs;

use super::logins::{identity, login, vex};
use crate::emulator::Decision;
use crate::leaks::life::Life;
use crate::support::wait_for;

pub(super) fn of_other_services(life: &mut Life<'_>) {
    let emulator = &life.scene.emulator;
    let text = identity(life, "vouch") + "[github.acme]\nidentity = \"corp\"\n";
    life.configure(&text);
    life.keys();
    let tokens = ["--token", "github/acme", "--token", "web-identity/corp"];
    life.mount(&[&["--role", "keys"], &tokens[..]].concat());
    assert_eq!(login(life, Decision::Approve), Some(0));
    let token = life.shows("credmount/github/acme/token");
    assert!(token.starts_with("ghs_"), "{token}");
    life.shows("credmount/github/acme/git-credentials");
    let token = life.shows("credmount/web-identity/corp/token");
    assert_eq!(token.split('.').count(), 3, "{token}");
    vex(life);
    emulator.set_issuer(|issuer| issuer.denies_github = true);
    life.refresh("while GitHub is denied");
    emulator.set_issuer(|issuer| issuer.denies_github = false);
    life.refresh("when all is well again");
    emulator.revoke_logins(true);
    life.refresh("at the end of the login");
    for words in ["TokenDenied", "LoginNeeded", "[redacted]"] {
        life.expect_said(words);
    }
}

/// An issuer that signs a key for ssh.
pub(super) fn certificates_of_ssh(life: &mut Life<'_>) {
    let emulator = &life.scene.emulator;
    let text = identity(life, "vouch") + "[ssh.prod]\nidentity = \"corp\"\n";
    life.configure(&text);
    life.keys();
    life.mount(&["--role", "keys", "--token", "ssh/prod"]);
    assert_eq!(login(life, Decision::Approve), Some(0));
    let path = life.daemon().file("credmount/ssh/prod/id_ed25519");
    let key = wait_for("a private key", || {
        fs::read_to_string(&path).ok().filter(|text| text.starts_with("-----BEGIN"))
    });
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    // Of its 32 secret bytes those that fill whole groups of base64; all else is public.
    life.secret("the private key", &body[216..256]);
    life.shows("credmount/ssh/prod/id_ed25519");
    vex(life);
    emulator.set_issuer(|issuer| issuer.denies_ssh = true);
    life.refresh("while certificates are denied");
    emulator.set_issuer(|issuer| issuer.denies_ssh = false);
    life.refresh("when all is well again");
    emulator.revoke_logins(true);
    life.refresh("at the end of the login");
    for words in ["TokenDenied", "LoginNeeded", "[redacted]"] {
        life.expect_said(words);
    }
}
