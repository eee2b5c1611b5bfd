//! Which mounts share a session. The chain of a role is the key of its session, so two mounts
//! share one exactly if their chains are equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::RoleChain;

const ROLE: &str = "[roles.prod]\nrole_arn = \"arn:aws:iam::123456789012:role/prod\"\n";

/// The chains of the first role of each mount of `file`.
fn chains(file: &str) -> Vec<Arc<RoleChain>> {
    let source = SourceText { path: "config.toml".into(), text: file.to_owned().into() };
    let settings = resolve(&Inputs {
        flags: &Flags::default(),
        selection: Selection::Mounts(&[]),
        added: &[],
        environment: &BTreeMap::new(),
        config_file: Some(&source),
        aws_config: None,
        aws_credentials: None,
        read_include: &|_| Ok(Vec::new()),
    })
    .unwrap_or_else(|errors| panic!("{errors}\n{file}"));
    settings.mounts.iter().map(|mount| mount.roles[0].chain.clone()).collect()
}

/// The chains of two mounts that say `first` and `second` of their sessions.
fn pair(first: &str, second: &str) -> (Arc<RoleChain>, Arc<RoleChain>) {
    let file = format!(
        "{ROLE}[mounts.a]\npath = \"/a\"\nroles = [\"prod\"]\n{first}\n\
         [mounts.b]\npath = \"/b\"\nroles = [\"other=prod\"]\n{second}\n"
    );
    let chains = chains(&file);
    (chains[0].clone(), chains[1].clone())
}

/// Each says something else.
const DIFFERENT: [&str; 13] = [
    "",
    "session_name = \"one\"",
    "session_name = \"two\"",
    "source_identity = \"one\"",
    "source_identity = \"two\"",
    "tags = { a = \"1\" }",
    "tags = { a = \"2\" }",
    "tags = { A = \"1\" }",
    "tags = { a = \"1\", b = \"\" }",
    "tags = { a = \"1\" }\ntransitive_tag_keys = [\"a\"]",
    "policy = '{\"Statement\":[]}'",
    "policy = '{\"Statement\":[],\"Version\":\"2012-10-17\"}'",
    "policy_arns = [\"arn:aws:iam::aws:policy/a\"]",
];

#[test]
fn mounts_that_say_different_things_never_share_a_session() {
    for (index, first) in DIFFERENT.iter().enumerate() {
        for second in &DIFFERENT[..index] {
            let (first_chain, second_chain) = pair(first, second);
            assert_ne!(first_chain, second_chain, "{first:?} and {second:?}");
        }
    }
}

#[test]
fn mounts_that_say_the_same_share_a_session_under_whatever_name() {
    for same in DIFFERENT {
        let (first, second) = pair(same, same);
        assert_eq!(first, second, "{same:?}");
    }
}

#[test]
fn what_aws_takes_for_the_same_shares_a_session() {
    for (first, second) in [
        ("tags = { a = \"1\", b = \"2\" }", "tags = { b = \"2\", a = \"1\" }"),
        ("tags = { a = \"1\" }", "tags = [\"a=1\"]"),
        ("tags = {}", ""),
        (
            "tags = { a = \"1\" }\ntransitive_tag_keys = [\"a\", \"A\"]",
            "tags = { a = \"1\" }\ntransitive_tag_keys = [\"a\"]",
        ),
        (
            "policy = '{\"Version\":\"2012-10-17\",\"Statement\":[]}'",
            "policy = '''\n{ \"Statement\": [],\n  \"Version\": \"2012-10-17\" }'''",
        ),
        (
            "policy_arns = [\"arn:aws:iam::aws:policy/a\", \"arn:aws:iam::aws:policy/b\"]",
            "policy_arns = [\"arn:aws:iam::aws:policy/b\", \"arn:aws:iam::aws:policy/a\"]",
        ),
    ] {
        let (first_chain, second_chain) = pair(first, second);
        assert_eq!(first_chain, second_chain, "{first:?} and {second:?}");
    }
}

/// Lines about the session, at most one of each kind.
fn lines() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let line = |key: &'static str, value: BoxedStrategy<String>| {
        proptest::option::of(value.prop_map(move |value| (key, value)))
    };
    let quoted = |pattern: &'static str| pattern.prop_map(|text| format!("\"{text}\"")).boxed();
    (
        line("session_name", quoted("[ab]{2,3}")),
        line("source_identity", quoted("[ab]{2,3}")),
        line("tags", "[ab]{1,2}".prop_map(|value| format!("{{ k = \"{value}\" }}")).boxed()),
        line(
            "policy_arns",
            "[ab]".prop_map(|name| format!("[\"arn:aws:iam::aws:policy/{name}\"]")).boxed(),
        ),
    )
        .prop_map(|(name, identity, tags, arns)| {
            [name, identity, tags, arns].into_iter().flatten().collect()
        })
}

proptest! {
    #[test]
    fn sessions_are_shared_exactly_by_those_who_say_the_same(first in lines(), second in lines()) {
        let text = |lines: &[(&str, String)]| {
            let lines = lines.iter().map(|(key, value)| format!("{key} = {value}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let (first_chain, second_chain) = pair(&text(&first), &text(&second));
        prop_assert_eq!(first == second, first_chain == second_chain);
    }
}
