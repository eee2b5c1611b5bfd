//! Rules about other users, programs and cgroups, on real mounts. Needs root, who alone may run a
//! reader as somebody else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Gid, Uid};
use serde_json::Value;

use super::programs::Programs;
use crate::support::records::records_of;
use crate::support::{Scene, eventually, ini_value, skipped};

/// `docker` names a container so.
const CONTAINER: &str = "3b1f0c5d7e9a2b4c6d8e0f1a3c5e7f9b1d3f5a7c9e0b2d4f6a8c0e1f3a5b7c9d";

const CONFIG: &str = r#"
region = "eu-west-1"
audit_log = "ROOT/audit.jsonl"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[roles.dev]
role_arn = "arn:aws:iam::123456789012:role/dev"

[mounts.users]
path = "ROOT/users"
roles = ["prod", "dev"]
default = "prod"
allow_other = true
[[mounts.users.allow]]
uid = 1500
roles = ["prod"]
[[mounts.users.allow]]
uid = 1501
roles = ["dev", "prod"]
[[mounts.users.allow]]
uid = 1502
roles = []
[[mounts.users.allow]]
gid = 1600
roles = ["dev"]

[mounts.programs]
path = "ROOT/programs"
roles = ["prod", "dev"]
default = "prod"
allow_other = true
[[mounts.programs.allow]]
uid = 1500
exe = "*/bin/allowed"
roles = ["dev"]
[[mounts.programs.allow]]
exe = "ROOT/bin/*"
uid = 1501
[[mounts.programs.allow]]
exe = "ROOT/bin/allowed"
roles = ["prod"]

[mounts.groups]
path = "ROOT/groups"
roles = ["prod", "dev"]
default = "prod"
allow_other = true
[[mounts.groups.allow]]
cgroup = "/GROUP/agents/*"
roles = ["prod"]
[[mounts.groups.allow]]
container = "3b1f0c5d7e9a"
roles = ["dev"]

[mounts.owner]
path = "ROOT/owner"
roles = ["prod", "dev"]
default = "prod"
allow_other = true
[[mounts.owner.allow]]
uid = 0
roles = ["dev"]

[mounts.closed]
path = "ROOT/closed"
roles = ["prod", "dev"]
default = "prod"
allow_other = false
"#;

/// A mount, a caller, and what is decided: the rule, and the roles that are seen.
const TABLE: [(&str, &str, &str); 27] = [
    ("users", "uid=0", "owner: dev prod"),
    ("users", "uid=1500", "allow[1]: prod"),
    ("users", "uid=1501", "allow[2]: dev prod"),
    ("users", "uid=1502", "allow[3]:"),
    ("users", "uid=1502 gid=1600", "allow[3]:"),
    ("users", "uid=1503 gid=1600", "allow[4]: dev"),
    ("users", "uid=1500 gid=1600", "allow[1]: prod"),
    ("users", "uid=1503", "no rule:"),
    ("users", "uid=1503 exe=allowed", "no rule:"),
    ("programs", "uid=1500 exe=allowed", "allow[1]: dev"),
    ("programs", "uid=1500 exe=other", "no rule:"),
    ("programs", "uid=1501 exe=other", "allow[2]: dev prod"),
    ("programs", "uid=1501 exe=allowed", "allow[2]: dev prod"),
    ("programs", "uid=1502 exe=allowed", "allow[3]: prod"),
    ("programs", "uid=0 exe=allowed", "allow[3]: prod"),
    ("programs", "uid=0 exe=other", "owner: dev prod"),
    ("groups", "uid=1500", "no rule:"),
    ("groups", "uid=0", "owner: dev prod"),
    ("groups", "uid=1500 group=agents/seven", "allow[1]: prod"),
    ("groups", "uid=0 group=agents/seven", "allow[1]: prod"),
    ("groups", "uid=1500 group=docker", "allow[2]: dev"),
    ("groups", "uid=1500 group=another", "no rule:"),
    ("users", "uid=1500 group=docker", "allow[1]: prod"),
    ("owner", "uid=0", "allow[1]: dev"),
    ("owner", "uid=1500", "no rule:"),
    ("closed", "uid=0", "owner: dev prod"),
    // By the kernel, which does not ask.
    ("closed", "uid=1500", "unasked:"),
];

/// Cgroups for readers, below one of our own in the unified hierarchy.
#[derive(Debug)]
struct Groups {
    hierarchy: PathBuf,
    name: String,
}

impl Groups {
    /// `None` where this process may not make any.
    fn make() -> Option<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let unified = table.lines().find(|line| line.contains(" - cgroup2 "))?;
        let hierarchy = PathBuf::from(unified.split(' ').nth(4)?);
        let name = format!("credmount-it-{}", std::process::id());
        let groups = Self { hierarchy, name };
        let all = groups.all().iter().try_for_each(fs::create_dir_all);
        all.is_ok().then_some(groups)
    }

    fn path(&self, group: &str) -> PathBuf {
        let group = match group {
            "docker" => format!("docker-{CONTAINER}.scope"),
            other => other.to_owned(),
        };
        self.hierarchy.join(&self.name).join(group)
    }

    /// The outer ones first.
    fn all(&self) -> [PathBuf; 5] {
        ["", "agents", "agents/seven", "docker", "another"].map(|group| self.path(group))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in self.all().iter().rev() {
            // A reader that was reaped may still be on its way out.
            while fs::remove_dir(group).is_err() && group.exists() && !thread::panicking() {
                thread::yield_now();
            }
        }
    }
}

/// A file as a reader saw it: its text, or the error of open(2).
type Seen = Result<String, i32>;

const EACCES: i32 = 13;

/// The files of a mount that differ from reader to reader.
const FILES: [&str; 9] = [
    "credentials",
    "config",
    "credmount/status.json",
    "credmount/metrics",
    "credmount/process/prod.json",
    "credmount/errors/prod",
    "credmount/process/dev.json",
    "credmount/errors/dev",
    "credmount/process/default.json",
];

/// All [`FILES`], as a caller such as `uid=1500 exe=allowed` sees them.
fn look(programs: &Programs<'_>, groups: Option<&Groups>, mount: &str, caller: &str) -> Vec<Seen> {
    let facts: HashMap<&str, &str> =
        caller.split(' ').map(|fact| fact.split_once('=').unwrap()).collect();
    let fact = |name: &str, default| *facts.get(name).unwrap_or(&default);
    let mut script = String::new();
    if let Some(group) = facts.get("group") {
        let group = groups.unwrap().path(group);
        write!(script, "echo $$ >'{}/cgroup.procs' && ", group.display()).unwrap();
    }
    script += "exec \"$@\"";
    let mut reader = programs.scene.command("sh");
    reader.args(["-c", &script, "sh", "setpriv", "--clear-groups"]);
    let uid = fact("uid", "");
    reader.args(["--reuid", uid, "--regid", fact("gid", uid)]);
    reader.arg(programs.path(fact("exe", "other"))).arg("show");
    reader.args(FILES.map(|file| programs.scene.path(mount).join(file)));
    let output = reader.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut rest = &output.stdout[..];
    let mut seen = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let head: Vec<_> = str::from_utf8(&rest[..end]).unwrap().split('\t').skip(1).collect();
        let [error, size, length] = head[..] else { panic!("{head:?}") };
        assert_eq!(size, length, "fstat and read agree");
        let text = &rest[end + 1..][..length.parse().unwrap()];
        seen.push(match error.parse().unwrap() {
            0 => Ok(String::from_utf8(text.to_vec()).unwrap()),
            error => Err(error),
        });
        rest = &rest[end + 1 + text.len()..];
    }
    seen
}

/// The values of a label in lines of metrics.
fn labels(text: &str, label: &str) -> BTreeSet<String> {
    let start = format!("{label}=\"");
    let values = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| Some(line.split_once(&start)?.1.split_once('"')?.0.to_owned());
    values.filter_map(value).collect()
}

/// The roles that a reader sees, which has to be the same in each file.
fn roles(mount: &str, seen: &[Seen]) -> String {
    let roles = ["dev", "prod"];
    let by_file = |index: usize| match &seen[index] {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(*error, EACCES, "{}", FILES[index]);
            false
        }
    };
    let Ok(credentials) = &seen[0] else {
        let refused = (0..FILES.len()).all(|index| !by_file(index));
        assert!(refused, "who sees no role opens no file: {seen:?}");
        return String::new();
    };
    let shown: Vec<&str> =
        roles.into_iter().filter(|role| credentials.contains(&format!("\n[{role}]\n"))).collect();
    let is_default = shown.contains(&"prod");
    assert_eq!(credentials.contains("\n[default]\n"), is_default);
    for role in roles {
        let key = ini_value(credentials, role, "aws_access_key_id");
        assert_eq!(key.is_some(), shown.contains(&role));
    }
    let config = seen[1].as_ref().unwrap();
    for role in roles {
        assert_eq!(config.contains(&format!("[profile {role}@live]")), shown.contains(&role));
        assert_eq!(config.contains(&format!("process/{role}.json")), shown.contains(&role));
    }
    let status: Value = serde_json::from_str(seen[2].as_ref().unwrap()).unwrap();
    let told = status["roles"].as_array().unwrap().iter();
    let told: BTreeSet<&str> = told.map(|role| role["profile"].as_str().unwrap()).collect();
    assert_eq!(told, shown.iter().copied().collect());
    assert_eq!(status.get("audit"), None, "the log is not for readers");
    let metrics = seen[3].as_ref().unwrap();
    let arns: BTreeSet<_> = shown.iter().map(|role| crate::support::arn(role)).collect();
    assert_eq!(labels(metrics, "role"), arns);
    let told = labels(metrics, "profile");
    assert_eq!(told.contains("dev"), shown.contains(&"dev"), "{told:?}");
    assert_eq!(told.contains("prod"), shown.contains(&"prod"), "{told:?}");
    assert!(labels(metrics, "mount").iter().all(|label| label == mount));
    for (file, role) in [(4, "prod"), (5, "prod"), (6, "dev"), (7, "dev"), (8, "prod")] {
        assert_eq!(by_file(file), shown.contains(&role), "{}", FILES[file]);
    }
    shown.join(" ")
}

#[test]
fn each_rule_lets_each_caller_see_its_roles_and_no_more() {
    let Some(scene) = root_scene() else { return };
    let Some(programs) = Programs::build(&scene) else { return };
    let groups = Groups::make();
    let name = groups.as_ref().map_or("none", |groups| &groups.name);
    let _fleet = scene.serve(&CONFIG.replace("GROUP", name));
    let log = scene.path("audit.jsonl");
    let mut wrong = Vec::new();
    for (mount, caller, expected) in TABLE {
        if caller.contains("group=") && groups.is_none() {
            continue;
        }
        let before = records_of(&log, "open").len();
        let seen = look(&programs, groups.as_ref(), mount, caller);
        let opens = records_of(&log, "open").split_off(before);
        let by = match opens.first() {
            None => "unasked",
            Some(open) => {
                assert_eq!(open["mount"], mount);
                assert_eq!(open["file"], "credentials");
                assert!(opens.iter().all(|it| it["rule"] == open["rule"]), "{opens:?}");
                open["rule"].as_str().unwrap()
            }
        };
        let refused = opens.iter().filter(|open| open["decision"] == "refused").count();
        let failed = seen.iter().filter(|seen| seen.is_err()).count();
        assert_eq!(refused, if by == "unasked" { 0 } else { failed }, "each refusal is recorded");
        let found = format!("{by}: {}", roles(mount, &seen));
        if found.trim_end() != expected {
            wrong.push(format!("{mount}, {caller}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_from = |open: &&Value| open["container"]["id"] == CONTAINER;
    let from: Vec<Value> = records_of(&log, "open").iter().filter(is_from).cloned().collect();
    assert_eq!(from.is_empty(), groups.is_none());
    let told = scene.run(&["audit", "--json", "--container", &CONTAINER[..12]]);
    let told = String::from_utf8(told.stdout).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told, from, "what was read from a container can be picked");
    if groups.is_none() {
        skipped("no cgroup can be made here, so rules about them were not tried");
    }
}

/// How many readers of each view, and how often the sessions are renewed meanwhile.
const READERS: usize = 4;
const RENEWALS: u32 = 40;

const VIEWS: [(u32, &[&str]); 2] = [(1500, &["default", "prod"]), (1501, &["dev"])];

/// Reads as this user until it is over, counting, and judges each rendering.
fn read_as(
    uid: u32,
    file: &Path,
    sections: &[&str],
    reads: &AtomicU32,
    is_over: &AtomicBool,
) -> HashSet<[String; 3]> {
    // Of this thread alone.
    let (gid, uid) = (Gid::from_raw(uid), Uid::from_raw(uid));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
    let mut sessions = HashSet::new();
    while !is_over.load(Ordering::Relaxed) {
        let mut opened = File::open(file).unwrap();
        let size = opened.metadata().unwrap().len();
        let number = reads.load(Ordering::Relaxed);
        let cut = u64::from(number) * 97 % size;
        let mut text = String::new();
        opened.by_ref().take(cut).read_to_string(&mut text).unwrap();
        if number.is_multiple_of(7) {
            thread::sleep(Duration::from_micros(300));
        }
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, size, "told and read");
        assert_eq!(opened.metadata().unwrap().len(), size, "told before and after");
        let heads = text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        assert_eq!(heads.collect::<Vec<_>>(), sections, "a reader sees its own sections");
        for section in sections {
            let keys = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
            sessions.insert(keys.map(|key| ini_value(&text, section, key).unwrap()));
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
    sessions
}

#[test]
fn readers_of_two_views_of_one_file_are_told_its_size_and_get_no_torn_text_while_it_changes() {
    let Some(scene) = root_scene() else { return };
    fs::set_permissions(scene.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    scene.emulator.set_token_length(4096..=4096);
    let fleet = scene.serve(
        r#"
        region = "eu-west-1"
        sts_calls_per_second = 100
        [roles.prod]
        role_arn = "arn:aws:iam::123456789012:role/prod"
        [roles.dev]
        role_arn = "arn:aws:iam::123456789012:role/dev"
        [mounts.live]
        path = "ROOT/live"
        roles = ["prod", "dev"]
        default = "prod"
        allow_other = true
        [[mounts.live.allow]]
        uid = 1500
        roles = ["prod"]
        [[mounts.live.allow]]
        uid = 1501
        roles = ["dev"]
        "#,
    );
    scene.emulator.set_token_length(400..=4096);
    let file = scene.path("live/credentials");
    let is_over = AtomicBool::new(false);
    let reads: [AtomicU32; READERS * VIEWS.len()] = Default::default();
    let mut seen = HashSet::new();
    thread::scope(|scope| {
        let over = Over(&is_over);
        let readers: Vec<_> = (0..READERS)
            .flat_map(|_| VIEWS)
            .zip(&reads)
            .map(|((uid, sections), reads)| {
                let (file, is_over) = (&file, &is_over);
                scope.spawn(move || read_as(uid, file, sections, reads, is_over))
            })
            .collect();
        for _ in 0..RENEWALS {
            fleet.refresh_over_socket("live");
            // A read that began before is one of these two at most.
            let before = reads.each_ref().map(|reads| reads.load(Ordering::Relaxed));
            eventually("the new keys to be read", || {
                let is_stuck = readers.iter().any(thread::ScopedJoinHandle::is_finished);
                let mut now = before.iter().zip(&reads);
                is_stuck || now.all(|(before, now)| now.load(Ordering::Relaxed) >= before + 2)
            });
        }
        drop(over);
        for reader in readers {
            seen.extend(reader.join().unwrap());
        }
    });
    let issued = scene.emulator.issued_sessions();
    let issued: HashSet<[String; 3]> = issued
        .into_iter()
        .map(|it| [it.access_key_id, it.secret_access_key, it.session_token])
        .collect();
    assert!(seen.is_subset(&issued), "no two sessions are mixed");
    let reads: u32 = reads.into_iter().map(AtomicU32::into_inner).sum();
    eprintln!("{reads} reads of {} sessions, {} issued", seen.len(), issued.len());
    assert!(seen.len() >= 2 * RENEWALS as usize, "only {} sessions", seen.len());
}

/// Ends the readers when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A scene of root, who mounts for others.
fn root_scene() -> Option<Scene> {
    if rustix::process::geteuid().is_root() {
        return Scene::mountable();
    }
    skipped("only root may read as somebody else");
    None
}
