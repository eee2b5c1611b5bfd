//! Whole configurations, one folder each below `tests/data/config`: `args`, `config.toml`,
//! `aws-config`, `aws-credentials` and `env.json`, where needed, and what comes out in
//! `expected.txt`. `select` holds the names of the mounts that are meant, none for all or `*` for
//! what `check` would take; `added` the arguments of `credmount add`; the other files are those
//! that `config_include` names. With `UPDATE_EXPECTED=1` the tests write that file; read the difference.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use proptest::prelude::*;

use super::options::OptionKey;
use super::*;
use crate::cli::{Cli, Command};
use crate::model::{ProfileName, Role, SessionAttributes};
use crate::policy::AllowRule;

fn read(folder: &Path, name: &str) -> Option<SourceText> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    Some(SourceText { path: name.into(), text: text.into() })
}

/// What the program would see, as a text that shows every setting.
fn outcome(folder: &Path) -> String {
    let args = read(folder, "args").map_or_else(String::new, |args| args.text.to_string());
    let cli = Cli::try_parse_from(
        ["credmount"]
            .into_iter()
            .chain(args.lines().filter(|line| !line.is_empty()))
            .chain(["/mnt"]),
    )
    .expect("arguments that clap accepts");
    let environment: BTreeMap<String, String> = read(folder, "env.json")
        .map_or_else(BTreeMap::new, |env| {
            serde_json::from_str(&env.text).expect("an object of texts")
        });
    let flags = cli.mount.flags();
    let names: Option<Vec<String>> =
        read(folder, "select").map(|names| names.text.lines().map(ToOwned::to_owned).collect());
    let selection = match &names {
        Some(names) if names.iter().any(|name| name == "*") => Selection::Configured,
        Some(names) => Selection::Mounts(names),
        None => Selection::CommandLine(Path::new("/mnt")),
    };
    let added = added(folder);
    let read_include = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        fs::read(folder.join(name)).map_err(|error| error.kind().to_string())
    };
    let config_file = read(folder, "config.toml");
    let aws_config = read(folder, "aws-config");
    let aws_credentials = read(folder, "aws-credentials");
    match resolve(&Inputs {
        flags: &flags,
        selection,
        added: &added,
        environment: &environment,
        config_file: config_file.as_ref(),
        aws_config: aws_config.as_ref(),
        aws_credentials: aws_credentials.as_ref(),
        read_include: &read_include,
    }) {
        Ok(settings) => described(&settings),
        Err(errors) => format!("{errors}\n"),
    }
}

/// The mounts of `added`: the arguments of one `credmount add` below the other, apart by blank lines.
fn added(folder: &Path) -> Vec<AddedMount> {
    let text = read(folder, "added").map_or_else(String::new, |added| added.text.to_string());
    let commands = text.split("\n\n").filter(|command| !command.trim().is_empty());
    let added = |command: &str| {
        let cli = Cli::try_parse_from(["credmount", "add"].into_iter().chain(command.lines()))
            .expect("arguments that clap accepts");
        let Some(Command::Add(args)) = cli.command else { panic!("an add") };
        args.added()
    };
    commands.map(added).collect()
}

/// The settings, without what is as by default.
fn described(settings: &Settings) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for mount in &settings.mounts {
        if let (Some(name), Some(path)) = (&mount.name, &mount.path) {
            line(&format!("mount {name} on {}", path.display()));
        }
        for role in &mount.roles {
            line(&described_role(role));
        }
        for token in &mount.tokens {
            line(&format!("{}: {token:?}", token.name()));
        }
        let default = mount.default.as_ref().map_or("none", |name| name.as_str());
        line(&format!("default: {default}"));
        let others = MountSettings {
            name: None,
            path: None,
            roles: Vec::new(),
            tokens: Vec::new(),
            default: None,
            allow: Vec::new(),
            ..mount.clone()
        };
        if others != MountSettings::default() {
            line(&format!("{others:#?}"));
        }
        for rule in &mount.allow {
            line(&described_rule(rule));
        }
    }
    let plain = Settings {
        mounts: Vec::new(),
        session_duration: DEFAULT_SESSION_DURATION,
        min_ttl: None,
        open_deadline: DEFAULT_OPEN_DEADLINE,
        max_waiting_opens: DEFAULT_MAX_WAITING_OPENS,
        sts_calls_per_second: None,
        audit_log: None,
        audit_journal: false,
        on_audit_failure: OnAuditFailure::Serve,
        background: false,
        supervise: false,
        log_format: LogFormat::Text,
        verbosity: Verbosity::Normal,
        mfa_prompt: MfaPrompt::Terminal,
        notify: false,
        keep_logins: KeepLogins::Memory,
        warnings: Vec::new(),
    };
    let others = Settings { mounts: Vec::new(), warnings: Vec::new(), ..settings.clone() };
    if others != plain {
        line(&format!("{others:#?}"));
    }
    for warning in &settings.warnings {
        line(&format!("warning: {warning}"));
    }
    text
}

fn described_role(role: &Role) -> String {
    let mut text = format!("{}: {:?}", role.profile, role.chain.base);
    for hop in &role.chain.hops {
        let duration = humantime::format_duration(hop.session_duration);
        let _ = write!(text, "\n  -> {} at {} for {duration}", hop.role_arn, hop.sts_region);
        if let Some(id) = &hop.external_id {
            let _ = write!(text, ", external id {id}");
        }
        if let Some(name) = &hop.session_name {
            let _ = write!(text, ", session name {name}");
        }
        if hop.attributes != SessionAttributes::default() {
            let _ = write!(text, "\n  with {:#?}", hop.attributes);
        }
    }
    if let Some(region) = &role.region {
        let _ = write!(text, "\n  region {region}");
    }
    for setting in &role.settings {
        let _ = write!(text, "\n  setting {} = {}", setting.key, setting.value);
        for (key, value) in &setting.nested {
            let _ = write!(text, "\n    {key} = {value}");
        }
    }
    text
}

fn described_rule(rule: &AllowRule) -> String {
    let mut text = "allow".to_owned();
    let mut condition = |key: &str, value: Option<String>| {
        let _ = value.map(|value| write!(text, " {key}={value}"));
    };
    condition("uid", rule.uid.map(|id| id.to_string()));
    condition("gid", rule.gid.map(|id| id.to_string()));
    condition("cgroup", rule.cgroup.as_ref().map(ToString::to_string));
    condition("container", rule.container.clone());
    condition("exe", rule.exe.as_ref().map(ToString::to_string));
    if let Some(only) = &rule.only {
        let roles: Vec<&str> = only.roles.iter().map(ProfileName::as_str).collect();
        let tokens: Vec<&str> = only.tokens.iter().map(String::as_str).collect();
        condition("roles", Some(roles.join(",")));
        condition("tokens", (!tokens.is_empty()).then(|| tokens.join(",")));
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test's own switch")]
fn every_case_comes_out_as_expected() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&root).expect("cases").map(|entry| entry.expect("entry").path()).collect();
    folders.sort();
    assert!(folders.len() > 10, "the cases are there");
    let update = std::env::var("UPDATE_EXPECTED").is_ok();
    let mut different = String::new();
    for folder in &folders {
        let found = outcome(folder);
        let file = folder.join("expected.txt");
        if update {
            fs::write(&file, &found).expect("writable");
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if found != expected {
            let name = folder.file_name().unwrap_or_default().display();
            let _ = writeln!(different, "== {name}: expected\n{expected}== found\n{found}");
        }
    }
    assert!(different.is_empty(), "{different}");
}

#[test]
fn every_option_is_a_flag() {
    let command = Cli::command();
    let flags: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .map(|long| format!("--{long}"))
        .collect();
    for key in OptionKey::ALL {
        assert!(flags.contains(&key.flag()), "{}", key.flag());
    }
    let others = ["--config", "--daemon-child", "--supervised"];
    let extra = flags.iter().find(|flag| {
        !others.contains(&flag.as_str()) && !OptionKey::ALL.iter().any(|key| key.flag() == **flag)
    });
    assert_eq!(extra, None, "a flag that can stand neither in the file nor in the environment");
}

/// Pieces of all the formats, so that random texts come near to legal ones.
const PIECES: [&str; 40] = [
    "[roles.a]\n",
    "[roles.b]\n",
    "role_arn",
    "account_id",
    "role_name",
    "source_role",
    "source_profile",
    "session_duration",
    "region",
    " = \"a\"\n",
    " = \"b\"\n",
    "=",
    "\"",
    "\n",
    "[profile a]\n",
    "[profile b]\n",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "a",
    "b",
    "é",
    "\0",
    "arn:aws:iam::123456789012:role/x",
    "  s3 =\n",
    "  k = v\n",
    "#",
    ";",
    "1h",
    "-",
    " ",
    "mounts",
    "default",
    "none",
    "'",
    "\\",
    "999999999999999999999",
];

fn pieces() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_input_panics(
        role in pieces(), config in pieces(), aws in pieces(), json in pieces(), option in pieces()
    ) {
        let flags = Flags { roles: vec![role], default: Some(option.clone()), ..Flags::default() };
        let environment = BTreeMap::from([
            ("CREDMOUNT_ROLES".to_owned(), json),
            ("CREDMOUNT_REGION".to_owned(), option.clone()),
            ("AWS_AUTH_ROLES".to_owned(), format!("{{\"a\":{{\"role_arn\":\"{option}\"}}}}")),
        ]);
        let source = |text: &str| SourceText { path: "file".into(), text: text.to_owned().into() };
        let _ = resolve(&Inputs {
            flags: &flags,
            environment: &environment,
            selection: Selection::Mounts(&[]),
            added: &[],
            config_file: Some(&source(&config)),
            aws_config: Some(&source(&aws)),
            aws_credentials: Some(&source(&aws)),
            read_include: &|_| Ok(aws.clone().into_bytes()),
        });
    }
}
