//! The AWS config and credentials files, as the places that profiles come from. What stands behind
//! a key that holds a secret must come out nowhere.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use credmount::config::{Flags, Selection};
use credmount_fuzz::settings::{Texts, resolved};
use credmount_fuzz::{PLANTED, is_spoilt};
use libfuzzer_sys::fuzz_target;

// The config file, and after a NUL the credentials file.
fuzz_target!(|text: &str| {
    if is_spoilt(text.as_bytes()) {
        return;
    }
    let text = planted(text);
    let (config, credentials) = text.split_once('\0').unwrap_or((&text, ""));
    let roles = ["a", "prod", "default"];
    let texts = Texts { aws_config: config, aws_credentials: credentials, ..Texts::default() };
    let environment = BTreeMap::from([("HOME".to_owned(), "/home/jane".to_owned())]);
    let by_name = Flags { roles: roles.map(str::to_owned).to_vec(), ..Flags::default() };
    resolved(texts, &by_name, &environment, Selection::CommandLine(Path::new("/live")), &[]);
    // The same file as a source of base credentials.
    for role in roles {
        let flags = Flags {
            roles: vec!["arn:aws:iam::123456789012:role/x".to_owned()],
            source_profile: Some(role.to_owned()),
            ..Flags::default()
        };
        resolved(texts, &flags, &environment, Selection::CommandLine(Path::new("/live")), &[]);
    }
    // And as the file that others' sections are taken from.
    let own = "config_include = '/x'\n[roles.r]\nrole_arn = 'arn:aws:iam::123456789012:role/r'\n\
               [mounts.m]\npath = '/srv/m'\n";
    let texts = Texts { own, include: config, ..Texts::default() };
    resolved(texts, &Flags::default(), &environment, Selection::Configured, &[]);
});

/// The text with another value behind each `aws_secret_access_key` and `aws_session_token`.
fn planted(text: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, _)) if is_secret(key) => format!("{key}= {PLANTED}"),
        _ => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn is_secret(key: &str) -> bool {
    let key = key.trim_end();
    ["aws_secret_access_key", "aws_session_token"].iter().any(|name| key.eq_ignore_ascii_case(name))
}
