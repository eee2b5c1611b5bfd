//! What a session is called and what it carries, as STS sees it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::key;
use crate::support::Scene;
use crate::support::daemon::arn;

/// The session names of all calls, in order.
fn names(scene: &Scene) -> Vec<String> {
    let calls = scene.emulator.calls();
    calls.into_iter().map(|call| call.session_name.expect("a session name")).collect()
}

#[test]
fn placeholders_of_a_session_name_are_filled_in_for_each_call() {
    let Some(scene) = Scene::mountable() else { return };
    let role = format!("ops={}", arn("prod"));
    let name = "{mount}.{role}.{user}@{host}.{time}";
    let daemon = scene.mount(&["--role", &role, "--region", "eu-west-1", "--session-name", name]);
    daemon.refresh();
    let names = names(&scene);
    let [first, second] = &names[..] else { panic!("{names:?}") };
    assert_ne!(first, second, "the time tells the calls apart");
    for name in [first, second] {
        assert!(name.starts_with("live.prod.tester@"), "{name}");
        assert!(name.ends_with('Z') && name.len() <= 64, "{name}");
    }
}

#[test]
fn without_the_time_a_session_name_is_the_same_in_each_call() {
    let Some(scene) = Scene::mountable() else { return };
    let args = ["--role", &arn("prod"), "--region", "eu-west-1", "--session-name", "{role}-{user}"];
    let daemon = scene.mount(&args);
    daemon.refresh();
    assert_eq!(names(&scene), ["prod-tester", "prod-tester"]);
}

#[test]
fn mounts_share_a_session_unless_its_name_tells_them_apart() {
    let Some(scene) = Scene::mountable() else { return };
    let mount = |name: &str, session_name: &str| {
        format!(
            "[mounts.{name}]\npath = \"ROOT/{name}\"\nroles = [\"prod\"]\n\
             session_name = \"{session_name}\"\n"
        )
    };
    let prod = format!("region = \"eu-west-1\"\n[roles.prod]\nrole_arn = \"{}\"\n", arn("prod"));
    let fleet = scene.serve(
        &[
            prod,
            mount("one", "in-{mount}"),
            mount("two", "in-{mount}"),
            mount("three", "for-{role}"),
            mount("four", "for-{role}"),
        ]
        .concat(),
    );
    let key_in = |mount| key(&fleet.read(mount, "credentials"), "prod").expect("a key");
    assert_ne!(key_in("one"), key_in("two"));
    assert_eq!(key_in("three"), key_in("four"));
    let sent: BTreeSet<String> = names(&scene).into_iter().collect();
    assert_eq!(sent, ["for-prod", "in-one", "in-two"].map(str::to_owned).into());
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 3);
}

#[test]
fn check_tells_how_full_a_session_is() {
    let scene = Scene::new();
    let role = arn("prod");
    let check = |tags: usize, more: &[&str]| {
        let tags: Vec<String> =
            (0..tags).map(|tag| format!("--tag=key{tag}={}", "x".repeat(195))).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let args = [&["check", "--role", &role, "--region", "eu-west-1"], &tags[..], more];
        String::from_utf8(scene.run(&args.concat()).stdout).unwrap()
    };
    let none = check(0, &[]);
    assert!(none.contains("ok") && !none.contains("packed"), "{none}");
    let some = check(2, &[]);
    assert!(some.contains("10 % of the space for policies and tags"), "{some}");
    assert!(!some.contains("warning"), "{some}");
    let much = check(18, &[]);
    assert!(much.contains("88 % of the space") && much.contains("STS refuses above"), "{much}");
    let json: Value = serde_json::from_str(&check(18, &["--json"])).unwrap();
    assert_eq!(json[0]["steps"][1]["packed_percent"], 88);
    let too_much = check(21, &[]);
    assert!(too_much.contains("FAILED") && too_much.contains("PackedPolicyTooLarge"), "{too_much}");
}
