//! Rules × callers, as tables.

use glob::Pattern;

use super::*;
use crate::model::{Process, ProfileName};

const ALICE: u32 = 1000;
const BOB: u32 = 1001;
const A: &str = "3b1f0c5d7e9a2b4c6d8e0f1a3c5e7f9b1d3f5a7c9e0b2d4f6a8c0e1f3a5b7c9d";
const B: &str = "f00df00df00df00df00df00df00df00df00df00df00df00df00df00df00df00d";

/// `uid=0 cgroup=/docker/* roles=ro,audit`; `roles=` refuses. A, B are container ids.
fn rule(text: &str) -> AllowRule {
    let mut rule = AllowRule::default();
    for (key, value) in conditions(text) {
        match key {
            "uid" => rule.uid = Some(value.parse().unwrap()),
            "gid" => rule.gid = Some(value.parse().unwrap()),
            "cgroup" => rule.cgroup = Some(Pattern::new(&value).unwrap()),
            "container" => rule.container = Some(value),
            "exe" => rule.exe = Some(Pattern::new(&value).unwrap()),
            "roles" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                let names = names.map(|name| ProfileName::parse(name).unwrap());
                rule.only.get_or_insert_default().roles = names.collect();
            }
            "tokens" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                rule.only.get_or_insert_default().tokens = names.map(str::to_owned).collect();
            }
            _ => panic!("{text}"),
        }
    }
    rule
}

/// `uid=0 gid=0 cgroup=/docker/A exe=/bin/cat`: what is missing could not be read. `unknown`: there
/// is no process. The gid is the uid unless it is given.
fn caller(text: &str) -> Caller {
    let (text, is_known) = text.strip_suffix("unknown").map_or((text, true), |text| (text, false));
    let (mut uid, mut gid, mut cgroup, mut exe) = (0, None, None, None);
    for (key, value) in conditions(text) {
        match key {
            "uid" => uid = value.parse().unwrap(),
            "gid" => gid = Some(value.parse().unwrap()),
            "cgroup" => cgroup = Some(value),
            "exe" => exe = Some(value),
            _ => panic!("{text}"),
        }
    }
    let gid = gid.unwrap_or(uid);
    if !is_known {
        return Caller::unknown(uid, gid, 0);
    }
    let container = cgroup.as_deref().and_then(container::of_cgroup);
    let comm = "reader".into();
    let process = Process { tgid: 7, start_time: 1, comm, exe, cgroup, container };
    Caller { uid, gid, tid: 7, process: Some(process) }
}

fn conditions(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split_whitespace().map(|word| {
        let (key, value) = word.split_once('=').unwrap();
        (key, value.replace("{A}", A).replace("{B}", B).replace("{A12}", &A[..12]))
    })
}

fn policy(rules: &[&str]) -> Policy {
    Policy::new(rules.iter().map(|text| rule(text)).collect(), ALICE)
}

/// `allow[1] ro,audit`, `owner *`, `refused by no rule`.
fn decision(policy: &Policy, caller: &Caller) -> String {
    match policy.decide(caller) {
        Decision::Refused { by } => format!("refused by {by}"),
        Decision::Allowed { by, view } => match &policy.views()[view] {
            None => format!("{by} *"),
            Some(part) => {
                let roles = part.roles.iter().map(ProfileName::as_str);
                let names: Vec<&str> =
                    roles.chain(part.tokens.iter().map(String::as_str)).collect();
                format!("{by} {}", names.join(","))
            }
        },
    }
}

/// Each row is a caller and the decision.
#[track_caller]
fn check(rules: &[&str], rows: &[(&str, &str)]) {
    let policy = policy(rules);
    for (text, expected) in rows {
        assert_eq!(&decision(&policy, &caller(text)), expected, "{rules:?}: {text}");
    }
}

#[test]
fn without_rules_only_the_mounting_user_reads() {
    check(
        &[],
        &[
            ("uid=1000 exe=/bin/cat", "owner *"),
            ("uid=1000 gid=5 exe=/bin/cat", "owner *"),
            ("uid=1000 unknown", "owner *"),
            // docker run --user 1000: the host's uid 1000, whom uids alone cannot tell apart.
            ("uid=1000 cgroup=/docker/{A}", "owner *"),
            ("uid=0", "refused by no rule"),
            ("uid=1001", "refused by no rule"),
            ("uid=0 unknown", "refused by no rule"),
            ("uid=4294967295 unknown", "refused by no rule"),
        ],
    );
}

#[test]
fn uid_and_gid_need_no_process() {
    check(
        &["uid=0 roles=ro", "gid=50", "uid=1001 gid=60 roles=audit"],
        &[
            ("uid=0", "allow[1] ro"),
            ("uid=0 unknown", "allow[1] ro"),
            ("uid=0 gid=50", "allow[1] ro"),
            ("uid=1001 gid=50 unknown", "allow[2] *"),
            ("uid=1001 gid=60", "allow[3] audit"),
            ("uid=1001 gid=61", "refused by no rule"),
            ("uid=1002 gid=60", "refused by no rule"),
            ("uid=1000", "owner *"),
        ],
    );
}

#[test]
fn a_cgroup_tells_apart_what_a_uid_does_not() {
    check(
        &["cgroup=/docker/* roles=ro", "uid=1000 roles=admin,ro"],
        &[
            ("uid=1000 cgroup=/docker/{A}", "allow[1] ro"),
            ("uid=0 cgroup=/docker/{A}/init", "allow[1] ro"),
            ("uid=1000 cgroup=/user.slice/session-3.scope", "allow[2] admin,ro"),
            ("uid=1000 cgroup=/", "allow[2] admin,ro"),
            ("uid=0 cgroup=/", "refused by no rule"),
            ("uid=0 cgroup=/x/docker/{A}", "refused by no rule"),
            ("uid=0 unknown", "refused by no rule"),
            // May be in docker, where it would get less.
            ("uid=1000 unknown", "refused by allow[1], caller unknown"),
            ("uid=1000", "refused by allow[1], caller unknown"),
        ],
    );
}

#[test]
fn a_rule_for_the_root_cgroup_is_a_rule_for_all_without_a_cgroup() {
    check(
        &["cgroup=/ roles=ro"],
        &[
            ("uid=1002 cgroup=/", "allow[1] ro"),
            ("uid=1002 cgroup=/docker/{A}", "refused by no rule"),
            ("uid=1002", "refused by no rule"),
        ],
    );
}

#[test]
fn a_container_is_known_by_the_first_digits_of_its_id() {
    check(
        &["container={A12} roles=ro", "container={B}"],
        &[
            ("uid=0 cgroup=/docker/{A}", "allow[1] ro"),
            ("uid=1000 cgroup=/system.slice/docker-{A}.scope", "allow[1] ro"),
            // A directory of the runtime's is what makes an id of a bare number.
            ("uid=0 cgroup=/builds/{A}", "refused by no rule"),
            ("uid=7 cgroup=/docker/{B}", "allow[2] *"),
            ("uid=7 cgroup=/machine.slice/libpod-{B}.scope/container", "allow[2] *"),
            ("uid=7 cgroup=/system.slice/backup.service", "refused by no rule"),
            ("uid=7 cgroup=/", "refused by no rule"),
            ("uid=7 unknown", "refused by no rule"),
        ],
    );
}

#[test]
fn nobody_passes_for_a_container_by_naming_a_cgroup_after_it() {
    let bob = "/user.slice/user-1001.slice/user@1001.service/x";
    let alice = "/user.slice/user-1000.slice/user@1000.service/x";
    let rows = |path: &str| format!("uid=1001 cgroup={path}/libpod-{{A}}.scope");
    let (by_bob, by_alice) = (rows(bob), rows(alice));
    let within_another = "uid=1001 cgroup=/docker/{B}/docker-{A}.scope";
    let within_its_own = "uid=1001 cgroup=/docker/{A}/docker-{B}.scope";
    check(
        &["container={A}"],
        &[
            (&by_bob, "refused by no rule"),
            (&by_alice, "allow[1] *"),
            (within_another, "refused by no rule"),
            (within_its_own, "allow[1] *"),
        ],
    );
    // The rule names Bob, so it trusts him with his own containers.
    check(
        &[&format!("container={{A}} uid={BOB}")],
        &[(&by_bob, "allow[1] *"), (within_another, "refused by no rule")],
    );
    check(&["container={A} uid=1002"], &[(&by_bob, "refused by no rule")]);
}

#[test]
fn a_program_counts_only_where_it_can_be_seen() {
    check(
        &["exe=/usr/bin/python3* roles=ro", "uid=0 exe=/usr/bin/aws"],
        &[
            ("uid=1001 exe=/usr/bin/python3.11", "allow[1] ro"),
            ("uid=1001 exe=/usr/bin/python3", "allow[1] ro"),
            ("uid=1001 exe=/tmp/usr/bin/python3", "refused by no rule"),
            ("uid=0 exe=/usr/bin/aws", "allow[2] *"),
            ("uid=0 exe=/usr/bin/aws2", "refused by no rule"),
            ("uid=1001 exe=/usr/bin/aws", "refused by no rule"),
            ("uid=0 cgroup=/docker/{A}", "refused by no rule"),
            ("uid=0 unknown", "refused by no rule"),
        ],
    );
}

#[test]
fn every_condition_of_a_rule_must_hold() {
    check(
        &["uid=0 gid=0 cgroup=/docker/* container={A12} exe=/bin/aws roles=ro"],
        &[
            ("uid=0 cgroup=/docker/{A} exe=/bin/aws", "allow[1] ro"),
            ("uid=1 gid=0 cgroup=/docker/{A} exe=/bin/aws", "refused by no rule"),
            ("uid=0 gid=1 cgroup=/docker/{A} exe=/bin/aws", "refused by no rule"),
            ("uid=0 cgroup=/system.slice/docker-{A}.scope exe=/bin/aws", "refused by no rule"),
            ("uid=0 cgroup=/docker/{B} exe=/bin/aws", "refused by no rule"),
            ("uid=0 cgroup=/docker/{A} exe=/bin/cat", "refused by no rule"),
            ("uid=0 cgroup=/docker/{A}", "refused by no rule"),
            ("uid=0 unknown", "refused by no rule"),
        ],
    );
}

#[test]
fn a_rule_binds_the_mounting_user_too() {
    check(
        &["uid=1000 cgroup=/docker/* roles=", "uid=1000 roles=ro"],
        &[
            ("uid=1000 cgroup=/docker/{A}", "refused by allow[1]"),
            ("uid=1000 cgroup=/user.slice", "allow[2] ro"),
            ("uid=1000 unknown", "refused by allow[1], caller unknown"),
            ("uid=0 cgroup=/docker/{A}", "refused by no rule"),
        ],
    );
}

#[test]
fn the_first_rule_that_matches_decides() {
    check(
        &["uid=0 roles=", "uid=0", "roles=ro", "uid=1001"],
        &[
            ("uid=0", "refused by allow[1]"),
            ("uid=1001", "allow[3] ro"),
            // A rule without conditions leaves nothing to the owner's default.
            ("uid=1000", "allow[3] ro"),
            ("uid=7 unknown", "allow[3] ro"),
        ],
    );
}

#[test]
fn hiding_facts_never_gives_more_than_a_rule_before_would_leave() {
    // May be about the caller, and leaves less: refused.
    check(
        &["exe=/opt/agent roles=ro", "uid=1001 roles=ro,admin", "uid=1002 roles=ro"],
        &[
            ("uid=1001 exe=/opt/agent", "allow[1] ro"),
            ("uid=1001 exe=/bin/cat", "allow[2] admin,ro"),
            ("uid=1001 cgroup=/x", "refused by allow[1], caller unknown"),
            ("uid=1000 cgroup=/x", "refused by allow[1], caller unknown"),
            // The same roles either way, or no more than none.
            ("uid=1002 cgroup=/x", "allow[3] ro"),
            ("uid=1003 cgroup=/x", "refused by no rule"),
        ],
    );
    // Cannot be about the caller, gives more, or gives something else: of no concern.
    check(
        &["uid=0 exe=/opt/agent roles=", "exe=/opt/all", "exe=/opt/x roles=x", "roles=ro"],
        &[
            ("uid=1001 unknown", "allow[4] ro"),
            ("uid=0 unknown", "refused by allow[1], caller unknown"),
        ],
    );
}

#[test]
fn a_rule_gives_what_it_names_and_nothing_else() {
    check(
        &["uid=1 roles=dev tokens=github/acme", "uid=2 tokens=github/acme", "uid=3 roles= tokens="],
        &[
            ("uid=1 unknown", "allow[1] dev,github/acme"),
            ("uid=2 unknown", "allow[2] github/acme"),
            ("uid=3 unknown", "refused by allow[3]"),
        ],
    );
}

/// Who hides could otherwise have the token that the rule before would have left out.
#[test]
fn a_part_without_the_token_is_less() {
    check(
        &["exe=/opt/x roles=a", "uid=1 roles=a tokens=github/acme", "uid=2 tokens=github/acme"],
        &[
            ("uid=1 unknown", "refused by allow[1], caller unknown"),
            ("uid=2 unknown", "allow[3] github/acme"),
        ],
    );
}

#[test]
fn equal_parts_are_one_view() {
    let policy =
        policy(&["uid=1 roles=a,b", "uid=2", "uid=3 roles=b,a", "uid=4 roles=", "roles=a"]);
    let part = |text: &str| rule(text).only;
    assert_eq!(policy.views(), [None, part("roles=a,b"), part("roles=a")]);
    let view = |uid| match policy.decide(&Caller::unknown(uid, 0, 1)) {
        Decision::Allowed { view, .. } => Some(view),
        Decision::Refused { .. } => None,
    };
    assert_eq!([1, 2, 3, 4, 5].map(view), [Some(1), Some(0), Some(1), None, Some(2)]);
}

#[test]
fn a_policy_knows_whether_it_looks_at_processes() {
    assert!(!policy(&[]).needs_process());
    assert!(!policy(&["uid=1 gid=2 roles=a", "roles="]).needs_process());
    for text in ["cgroup=/x", "exe=/x", "container={A12}"] {
        assert!(policy(&["uid=1", text]).needs_process(), "{text}");
    }
}
