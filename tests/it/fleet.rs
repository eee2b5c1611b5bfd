//! One daemon, many mounts: served, reloaded, added to, locked.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, Output, Stdio};

use rustix::process::{Signal, kill_process};

use crate::support::daemon::{arn, is_mounted};
use crate::support::namespace::{in_mount_namespace, namespaces_available};
use crate::support::{Scene, eventually, ini_value, unmount_lazily};

const TWO: &str = r#"
region = "eu-west-1"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[roles.dev]
role_arn = "arn:aws:iam::123456789012:role/dev"
[mounts.ops]
path = "ROOT/ops"
roles = ["prod", "dev"]
[mounts.agent]
path = "ROOT/agent"
roles = ["prod"]
"#;

fn key(text: &str, profile: &str) -> Option<String> {
    ini_value(text, profile, "aws_access_key_id")
}

fn told(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    told(output)
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    told(output)
}

#[test]
fn one_daemon_serves_all_mounts_and_a_role_has_one_session() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let (ops, agent) = (fleet.read("ops", "credentials"), fleet.read("agent", "credentials"));
    assert!(key(&ops, "dev").is_some());
    assert_eq!(key(&agent, "dev"), None, "a mount has its own roles only");
    assert_eq!(key(&ops, "prod"), key(&agent, "prod"));
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 1);
    let status = fleet.status();
    assert_eq!(fleet.names(), ["ops", "agent"]);
    assert_eq!(status[0].1["pid"], status[1].1["pid"]);
}

#[test]
fn every_role_is_assumed_once_at_the_start_and_by_a_reload_that_adds_mounts() {
    let Some(scene) = Scene::mountable() else { return };
    let mount = |name: &str, role: &str| {
        format!("[mounts.{name}]\npath = \"ROOT/{name}\"\nroles = [\"{name}={}\"]\n", arn(role))
    };
    let two = [mount("m1", "one"), mount("m2", "two")].concat();
    let fleet = scene.serve(&two);
    let four = [&two[..], &mount("m3", "three"), &mount("m4", "four")].concat();
    succeeds(&fleet.reload(&four));
    for (name, role) in [("m1", "one"), ("m2", "two"), ("m3", "three"), ("m4", "four")] {
        assert!(key(&fleet.read(name, "credentials"), name).is_some());
        assert_eq!(scene.emulator.call_count("AssumeRole", role), 1, "{role}");
    }
}

#[test]
fn mounts_whose_sessions_say_different_things_never_share_one() {
    let Some(scene) = Scene::mountable() else { return };
    let policy = r#"{"Statement":[],"Version":"2012-10-17"}"#;
    let mount = |name: &str, attributes: &str| {
        let roles = format!("roles = [\"prod={}\"]", arn("prod"));
        format!("[mounts.{name}]\npath = \"ROOT/{name}\"\n{roles}\n{attributes}\n")
    };
    let fleet = scene.serve(
        &[
            mount("plain", ""),
            mount("same", ""),
            mount("named", "source_identity = \"run-1\"\nsession_name = \"agent\""),
            mount("tagged", "tags = { run = \"2\" }\ntransitive_tag_keys = [\"run\"]"),
            mount("bounded", &format!("policy = '{policy}'")),
        ]
        .concat(),
    );
    let key = |mount: &str| key(&fleet.read(mount, "credentials"), "prod").expect("keys");
    assert_eq!(key("plain"), key("same"));
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 4);
    let session = |mount: &str| scene.emulator.session(&key(mount)).expect("issued here");
    let attributes = |mount: &str| session(mount).attributes;
    assert_eq!(attributes("named").source_identity.as_deref(), Some("run-1"));
    assert_eq!(attributes("tagged").tag("run"), Some("2"));
    assert_eq!(attributes("bounded").policy.as_deref(), Some(policy));
    assert_eq!(attributes("plain").source_identity, None);
}

#[test]
fn twenty_mounts_need_little_more_memory_than_one() {
    let Some(scene) = Scene::mountable() else { return };
    let role = arn("prod");
    let mount = |n| format!("[mounts.m{n}]\npath = \"ROOT/m{n}\"\nroles = [\"prod={role}\"]\n");
    let fleet = scene.serve(&(0..20).map(mount).collect::<String>());
    let pid = fleet.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    // A buffer of each mount that became resident would be 16 MiB.
    assert!(kib < 100 * 1024, "{kib} KiB");
}

#[test]
fn mounts_can_be_picked_by_name() {
    let Some(scene) = Scene::mountable() else { return };
    let config = scene.write_config(TWO);
    let config = config.to_str().unwrap();
    succeeds(&scene.run(&["mount", "agent", "--background", "--config", config]));
    assert!(!is_mounted(&scene.path("ops")));
    // The other one by another daemon.
    succeeds(&scene.run(&["mount", "ops", "--background", "--config", config]));
    let again = scene.run(&["mount", "ops", "--background", "--config", config]);
    assert!(refused(&again).contains("served by credmount already"), "{again:?}");
    for mount in ["agent", "ops"] {
        succeeds(&scene.run(&["unmount", scene.path(mount).to_str().unwrap()]));
        assert!(!is_mounted(&scene.path(mount)));
    }
    let wrong = scene.run(&["mount", "agnet", "--config", config]);
    assert!(refused(&wrong).contains("there are `ops`, `agent`"), "{wrong:?}");
}

#[test]
fn unmounting_one_mount_leaves_the_others_and_the_last_one_ends_the_daemon() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    succeeds(&scene.run(&["unmount", scene.path("ops").to_str().unwrap()]));
    assert_eq!(fleet.names(), ["agent"]);
    assert!(!is_mounted(&scene.path("ops")));
    assert!(key(&fleet.read("agent", "credentials"), "prod").is_some());
    succeeds(&scene.run(&["unmount", scene.path("agent").to_str().unwrap()]));
    assert_eq!(fleet.names(), [""; 0]);
    let left: Vec<_> = fs::read_dir(scene.path("run/credmount")).unwrap().collect();
    let left: Vec<_> = left.into_iter().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".log")), "{left:?}");
}

#[test]
fn a_reload_changes_roles_without_unmounting() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let before = key(&fleet.read("agent", "credentials"), "prod").unwrap();
    let mut open = fs::File::open(scene.path("agent/credentials")).unwrap();
    let mut pinned = String::new();
    open.read_to_string(&mut pinned).unwrap();
    let changed = TWO.replace(r#"roles = ["prod"]"#, r#"roles = ["prod", "two=dev"]"#);
    assert!(succeeds(&fleet.reload(&changed)).contains("1 changed"));

    let after = fleet.read("agent", "credentials");
    assert_eq!(key(&after, "prod"), Some(before), "a session that is still needed is kept");
    assert!(key(&after, "two").is_some());
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 1);
    assert!(fleet.read("agent", "credmount/process/two.json").contains("AccessKeyId"));
    assert!(fleet.read("agent", "config").contains("[profile two@live]"));
    open.seek(SeekFrom::Start(0)).unwrap();
    let mut again = String::new();
    open.read_to_string(&mut again).unwrap();
    assert_eq!(again, pinned, "a descriptor keeps what it has");

    // And back: the role goes, with its files.
    assert!(fs::metadata(scene.path("agent/credmount/process/two.json")).is_ok());
    succeeds(&fleet.reload(TWO));
    assert_eq!(key(&fleet.read("agent", "credentials"), "two"), None);
    let gone = fs::metadata(scene.path("agent/credmount/process/two.json")).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
    let listed = fs::read_dir(scene.path("agent/credmount/process")).unwrap().count();
    assert_eq!(listed, 2, "default.json and prod.json");
}

#[test]
fn sizes_and_bytes_agree_across_reloads_that_make_files_grow() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let file = scene.path("agent/credentials");
    let mut largest = 0;
    for roles in 1..=6 {
        let many: Vec<String> = (0..roles * 4).map(|n| format!("\"r{n}=prod\"")).collect();
        let changed = TWO.replace(r#"roles = ["prod"]"#, &format!("roles = [{}]", many.join(",")));
        succeeds(&fleet.reload(&changed));
        let (text, size) = crate::support::read_with_size(&file);
        assert_eq!(text.len() as u64, size);
        assert_eq!(fs::metadata(&file).unwrap().len(), size);
        largest = largest.max(size);
        assert_eq!(size, largest, "a file never shrinks while mounted");
        assert!(key(&text, &format!("r{}", roles * 4 - 1)).is_some());
    }
}

#[test]
fn a_reload_adds_and_ends_mounts() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let three = format!("{TWO}[mounts.third]\npath = \"ROOT/third\"\nroles = [\"dev\"]\n");
    let three = three.replace("[mounts.agent]\npath = \"ROOT/agent\"\nroles = [\"prod\"]\n", "");
    assert!(succeeds(&fleet.reload(&three)).contains("1 mounts added, 0 changed, 1 ended"));
    assert!(key(&fleet.read("third", "credentials"), "dev").is_some());
    assert!(!is_mounted(&scene.path("agent")));
    assert_eq!(fleet.names(), ["ops", "third"]);
}

#[test]
fn a_configuration_that_is_wrong_changes_nothing_and_all_errors_are_told() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let wrong = TWO.replace("eu-west-1", "euwest1").replace(r#"roles = ["prod"]"#, "rolls = 1");
    let text = refused(&fleet.reload(&wrong));
    assert!(text.contains("euwest1") && text.contains("did you mean `roles`"), "{text}");
    assert_eq!(fleet.names(), ["ops", "agent"]);
    assert!(key(&fleet.read("agent", "credentials"), "prod").is_some());
    // A mount point that cannot be one is found before anything is changed, too.
    fs::create_dir(scene.path("full")).unwrap();
    fs::write(scene.path("full/file"), "").unwrap();
    let full = format!("{TWO}[mounts.full]\npath = \"ROOT/full\"\n");
    assert!(refused(&fleet.reload(&full)).contains("not empty"));
    assert_eq!(fleet.names(), ["ops", "agent"]);
}

#[test]
fn sighup_reloads() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    scene.write_config(&TWO.replace(r#"roles = ["prod"]"#, r#"roles = ["dev"]"#));
    kill_process(fleet.pid(), Signal::HUP).unwrap();
    eventually("the reload", || key(&fleet.read("agent", "credentials"), "dev").is_some());
}

#[test]
fn a_bind_of_an_ended_mount_says_so_and_gives_no_keys() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let fleet = scene.serve(TWO);
    let bound = scene.path("container/.aws");
    // Reads each time it is told to, like a program in a container that goes on.
    let mut reads = Command::new("sh");
    reads.args(["-c", "while read line; do cat \"$0/credentials\"; echo END; done"]).arg(&bound);
    let mut reader = in_mount_namespace(&scene, &[(scene.path("agent"), bound)], &reads);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut read = || {
        use std::io::Write;
        reader.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let (mut text, mut byte) = (String::new(), [0]);
        while !text.ends_with("END\n") {
            reader.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        text
    };
    assert!(key(&read(), "prod").is_some());
    let one = TWO.split("[mounts.agent]").next().unwrap().to_owned();
    succeeds(&fleet.reload(&one));
    assert!(!is_mounted(&scene.path("agent")));
    let text = read();
    assert_eq!(key(&text, "prod"), None);
    assert!(text.contains("this mount was ended"), "{text}");
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
    assert_eq!(fleet.names(), ["ops"]);
}

#[test]
fn a_mount_can_be_added_and_removed_at_run_time() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let path = scene.path("run-1");
    let path = path.to_str().unwrap();
    let add = |more: &[&str]| {
        scene.run(&[&["add", "run-1", "--role", "x=dev", "--path", path], more].concat())
    };
    succeeds(&add(&["--session-name", "run-1"]));
    assert!(key(&fleet.read("run-1", "credentials"), "x").is_some());
    assert!(refused(&add(&[])).contains("run-1"));
    let named = scene.emulator.calls();
    let named = named.iter().filter(|call| call.session_name.as_deref() == Some("run-1"));
    assert_eq!(named.count(), 1, "CloudTrail shows which run used a key");
    // It outlives a reload.
    succeeds(&fleet.reload(TWO));
    assert_eq!(fleet.names(), ["ops", "agent", "run-1"]);
    assert!(refused(&scene.run(&["remove", "ops"])).contains("take it out of the file"));
    succeeds(&scene.run(&["remove", "run-1"]));
    assert!(!is_mounted(&scene.path("run-1")));
    assert_eq!(fleet.names(), ["ops", "agent"]);
    assert!(refused(&scene.run(&["remove", "run-1"])).contains("no mount run-1"));
}

#[test]
fn an_added_mount_ends_with_its_time_or_its_process() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    let (timed, bound) = (scene.path("timed"), scene.path("bound"));
    let add = |name: &str, time: &str| {
        let path = scene.path(name);
        let path = path.to_str().unwrap();
        succeeds(&scene.run(&["add", name, "-r", "dev", "--path", path, "--for", time]));
    };
    add("told", "1h");
    assert!(fleet.status().iter().any(|(_, it)| it["ends"].is_string()));
    succeeds(&scene.run(&["remove", "told"]));
    add("timed", "2s");
    let pid = process.id().to_string();
    let bound_path = bound.to_str().unwrap();
    let args = ["add", "bound", "-r", "dev", "--path", bound_path, "--while-pid", &pid];
    succeeds(&scene.run(&args));
    eventually("the end of its time", || !is_mounted(&timed));
    assert!(is_mounted(&bound));
    process.kill().unwrap();
    process.wait().unwrap();
    eventually("the end with its process", || !is_mounted(&bound));
    assert_eq!(fleet.names(), ["ops", "agent"]);
    assert!(refused(&scene.run(&args)).contains("--while-pid"), "the process is gone");
}

#[test]
fn a_role_that_nobody_can_have_is_not_added() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    scene.emulator.set_fault(crate::emulator::Fault::Deny);
    let path = scene.path("denied");
    let added = scene.run(&["add", "d", "-r", &arn("other"), "--path", path.to_str().unwrap()]);
    assert!(refused(&added).contains("AWS denied AssumeRole"), "{added:?}");
    assert_eq!(fleet.names(), ["ops", "agent"]);
    assert!(!is_mounted(&path));
}

#[test]
fn a_locked_daemon_serves_no_keys_until_it_is_unlocked() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    succeeds(&scene.run(&["lock"]));
    for file in ["credentials", "credmount/process/prod.json", "credmount/errors/prod"] {
        let text = fleet.read("agent", file);
        assert!(!text.contains("ASIA") && text.contains("credmount is locked"), "{text}");
    }
    assert_eq!(fleet.status()[0].1["roles"][0]["state"], "locked");
    assert!(
        refused(&scene.run(&["refresh", scene.path("ops").to_str().unwrap()])).contains("unlock")
    );
    // Neither a reload nor a new mount opens it.
    succeeds(&fleet.reload(&TWO.replace(r#"roles = ["prod"]"#, r#"roles = ["prod", "dev"]"#)));
    assert!(!fleet.read("agent", "credentials").contains("ASIA"));
    let path = scene.path("late");
    succeeds(&scene.run(&["add", "late", "-r", "dev", "--path", path.to_str().unwrap()]));
    assert!(!fleet.read("late", "credentials").contains("ASIA"));
    let calls = scene.emulator.call_count("AssumeRole", "prod");
    succeeds(&scene.run(&["unlock"]));
    assert!(key(&fleet.read("agent", "credentials"), "prod").is_some());
    assert!(key(&fleet.read("late", "credentials"), "dev").is_some());
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), calls + 1, "it was forgotten");
}

#[test]
fn an_open_that_waits_while_the_mount_is_reloaded_and_locked_gets_no_keys() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_session_lifetime(Some(std::time::Duration::from_secs(3)));
    let fleet = scene.serve(TWO);
    scene.emulator.set_fault(crate::emulator::Fault::Hang);
    let file = scene.path("agent/credentials");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reads = std::thread::spawn(move || {
        let mut last = String::new();
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            last = fs::read_to_string(&file).unwrap();
        }
        last
    });
    eventually("an open to wait", || fleet.status()[1].1["roles"][0]["state"] == "pending");
    let changed = TWO.replace("[mounts.agent]", "[mounts.agent]\nreader_path = \"/root/.aws\"");
    assert!(succeeds(&fleet.reload(&changed)).contains("1 changed"));
    succeeds(&scene.run(&["lock"]));
    drop(stop);
    scene.emulator.clear_faults();
    // The last open began before the lock, and was answered after it.
    let text = reads.join().unwrap();
    assert!(!text.contains("ASIA") && text.contains("credmount is locked"), "{text}");
}

#[test]
fn a_mount_that_somebody_else_removed_is_listed_no_more() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(TWO);
    unmount_lazily(&scene.path("ops"));
    eventually("the daemon to notice", || fleet.names() == ["agent"]);
    assert!(key(&fleet.read("agent", "credentials"), "prod").is_some());
}
