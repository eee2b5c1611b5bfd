//! Role chains: sessions of hops, what each hop carries, and hops that fail.

use std::fmt::Write as _;
use std::fs;

use super::{aws_files, base_keys, key};
use crate::emulator::{CallRecord, RoleRules};
use crate::support::daemon::arn;
use crate::support::{Scene, ini_value};

/// Three roles behind two hops, each of which says something of its own.
fn chains() -> String {
    let mut text = format!(
        "region = \"eu-west-1\"\nsts_calls_per_second = 100\n\
         [roles.hub]\nrole_arn = \"{}\"\nexternal_id = \"id-of-hub\"\nsource_identity = \"jane\"\n\
         tags = {{ team = \"search\", only = \"hub\" }}\ntransitive_tag_keys = [\"team\"]\n\
         [roles.middle]\nrole_arn = \"{}\"\nsource_role = \"hub\"\nexternal_id = \"id-of-middle\"\n\
         tags = {{ stage = \"two\" }}\ntransitive_tag_keys = [\"stage\"]\n",
        arn("hub"),
        arn("middle")
    );
    for leaf in LEAVES {
        let arn = arn(leaf);
        let role = format!("[roles.{leaf}]\nrole_arn = \"{arn}\"\nsource_role = \"middle\"\n");
        text += &role;
    }
    let _ = write!(text, "[roles.alone]\nrole_arn = \"{}\"\n", arn("alone"));
    text
}

const LEAVES: [&str; 3] = ["red", "green", "blue"];

/// Lets each role be assumed by the one before it only.
fn trust_only_each_other(scene: &Scene) {
    let trust = |role: &str, external_id: Option<&str>, trusts: &str| {
        let (trusts, external_id) = (vec![trusts.to_owned()], external_id.map(str::to_owned));
        scene.emulator.set_role(role, RoleRules { trusts, external_id, ..RoleRules::default() });
    };
    trust("hub", Some("id-of-hub"), "arn:aws:iam::123456789012:user/dev");
    trust("middle", Some("id-of-middle"), &arn("hub"));
    for leaf in LEAVES {
        trust(leaf, None, &arn("middle"));
    }
}

fn call_of(scene: &Scene, role: &str) -> CallRecord {
    let calls = scene.emulator.calls();
    let mut found = calls.into_iter().filter(|call| call.role_name() == Some(role));
    let call = found.next().expect("a call");
    assert_eq!(found.next(), None, "{role} was asked for more than once");
    call
}

#[test]
fn three_roles_behind_two_hops_cost_one_call_for_each_hop() {
    let Some(scene) = Scene::mountable() else { return };
    trust_only_each_other(&scene);
    let config = scene.write_config(&chains());
    let roles = LEAVES.map(|leaf| format!("--role={leaf}"));
    let args = [&roles.each_ref().map(String::as_str)[..], &["--config", config.to_str().unwrap()]];
    let daemon = scene.mount(&args.concat());
    let text = daemon.credentials();
    let (hub, middle) = (call_of(&scene, "hub"), call_of(&scene, "middle"));
    assert_eq!(middle.caller_access_key_id, hub.issued_access_key_id);
    for leaf in LEAVES {
        let call = call_of(&scene, leaf);
        assert_eq!(call.caller_access_key_id, middle.issued_access_key_id);
        assert_eq!(call.issued_access_key_id, key(&text, leaf));
        assert_eq!(call.duration_seconds.as_deref(), Some("3600"), "what a chained role may have");
    }
}

#[test]
fn each_hop_carries_what_it_says_and_what_goes_with_the_chain() {
    let Some(scene) = Scene::mountable() else { return };
    trust_only_each_other(&scene);
    let config = scene.write_config(&chains());
    let daemon = scene.mount(&["--role", "red", "--config", config.to_str().unwrap()]);
    let (hub, middle) = (call_of(&scene, "hub"), call_of(&scene, "middle"));
    assert_eq!(hub.external_id.as_deref(), Some("id-of-hub"));
    assert_eq!(middle.external_id.as_deref(), Some("id-of-middle"));
    assert_eq!(hub.attributes.transitive_tag_keys, ["team"]);
    let session = scene.emulator.session(&key(&daemon.credentials(), "red").unwrap()).unwrap();
    let carried = session.attributes;
    assert_eq!(carried.source_identity.as_deref(), Some("jane"));
    assert_eq!((carried.tag("team"), carried.tag("stage")), (Some("search"), Some("two")));
    assert_eq!(carried.tag("only"), None, "it is not transitive");
}

/// Where a person or a program looks when `red` has no keys, the hop that has none is named.
#[test]
fn the_failure_of_a_hop_names_the_hop_everywhere() {
    let Some(scene) = Scene::mountable() else { return };
    trust_only_each_other(&scene);
    scene.emulator.set_role("middle", RoleRules { is_deleted: true, ..RoleRules::default() });
    let config = scene.write_config(&chains());
    let config = ["--config", config.to_str().unwrap()];
    let daemon = scene.mount(&[&["--role", "red", "--role", "alone"], &config[..]].concat());
    let text = daemon.credentials();
    assert!(key(&text, "alone").is_some());
    let file = |name: &str| fs::read_to_string(daemon.file(name)).unwrap();
    let status = daemon.status()["roles"][0].clone();
    assert_eq!(status["role_arn"], arn("red"));
    let check = scene.run(&[&["check", "--role", "red"], &config[..]].concat());
    let log = daemon.log();
    let logged = log.lines().find(|line| line.contains("no session") && line.contains(&arn("red")));
    for (place, told) in [
        ("credentials", ini_value(&text, "red", "credential_process").unwrap()),
        ("errors/NAME", file("credmount/errors/red")),
        ("process/NAME.json", file("credmount/process/red.json")),
        ("status", status["last_error"].to_string()),
        ("check", String::from_utf8(check.stdout).unwrap()),
        ("log", logged.unwrap_or_else(|| panic!("{log}")).to_owned()),
    ] {
        assert!(told.contains(&arn("middle")), "{place}: {told}");
        assert!(place == "log" || !told.contains(&arn("red")), "{place}: {told}");
    }
    assert_eq!(scene.emulator.call_count("AssumeRole", "red"), 0);
}

#[test]
fn a_chain_of_sixteen_profiles_is_assumed_hop_by_hop() {
    let Some(scene) = Scene::mountable() else { return };
    let mut config = String::new();
    for hop in 1..=16 {
        let role = arn(&format!("hop{hop}"));
        let source = if hop == 1 { "base".to_owned() } else { format!("hop{}", hop - 1) };
        let _ = write!(
            config,
            "[profile hop{hop}]\nrole_arn = {role}\nsource_profile = {source}\n\
             region = eu-west-1\n"
        );
    }
    aws_files(&scene, &config, &base_keys(&scene));
    let daemon = scene.mount(&["--role", "hop16", "--sts-calls-per-second", "100"]);
    let last = key(&daemon.credentials(), "hop16");
    let mut signer = Some(scene.emulator.base_access_key_id().to_owned());
    for hop in 1..=16 {
        let call = call_of(&scene, &format!("hop{hop}"));
        assert_eq!(call.caller_access_key_id, signer);
        signer = call.issued_access_key_id;
    }
    assert_eq!(signer, last);
}

#[test]
fn a_loop_is_reported_with_its_path_before_anything_is_mounted() {
    let scene = Scene::new();
    let role = |name: &str, source: &str| {
        let arn = arn(name);
        format!("[roles.{name}]\nrole_arn = \"{arn}\"\nsource_role = \"{source}\"\n")
    };
    let config = scene.write_config(&[role("a", "b"), role("b", "c"), role("c", "a")].concat());
    let output = scene.run(&["--config", config.to_str().unwrap(), "--role", "a", "live"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let path = "role `a` -> role `b` -> role `c` -> role `a`";
    assert!(said.contains(path) && said.contains("config.toml:1:"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(scene.emulator.calls().is_empty());
}
