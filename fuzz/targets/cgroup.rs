//! The path of a caller's cgroup, parts of which containers and users name: what it tells, and what
//! rules make of it.

#![no_main]

use credmount::config::{Flags, Selection};
use credmount::model::{Caller, Process};
use credmount::policy::{Decision, Policy, container};
use credmount_fuzz::settings::{Texts, resolved};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const RUNTIMES: [&str; 8] =
    ["docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "kubernetes", "systemd"];

/// One rule on containers, in the way that a configuration says it.
static RULES: LazyLock<Policy> = LazyLock::new(|| {
    let own = "[roles.r]\nrole_arn = 'arn:aws:iam::123456789012:role/r'\n\
               [mounts.m]\npath = '/srv/m'\nallow = [{ container = '0123456789ab' }, \
               { cgroup = '/user.slice/*', roles = ['r'] }, { uid = 1000, roles = [] }]\n";
    let texts = Texts { own, ..Texts::default() };
    let environment = BTreeMap::from([("HOME".to_owned(), "/home/jane".to_owned())]);
    let flags = Flags::default();
    let settings = resolved(texts, &flags, &environment, Selection::Configured, &[]);
    let settings = settings.expect("a configuration that is right");
    Policy::new(settings.mounts[0].allow.clone(), 1000)
});

fuzz_target!(|path: &str| {
    let told = container::of_cgroup(path);
    if let Some(told) = &told {
        assert!(RUNTIMES.contains(&told.runtime.as_str()), "{told:?}");
        assert!(told.id.is_some() || told.pod_uid.is_some() || told.unit.is_some(), "{told:?}");
        if let Some(unit) = &told.unit {
            assert!(path.split('/').any(|name| name == unit), "{told:?}");
        }
        if let Some(uid) = &told.pod_uid {
            assert!(path.replace('_', "-").contains(uid.as_str()), "{told:?}");
        }
    }
    let process = Process {
        tgid: 7,
        start_time: 1,
        comm: "x".to_owned(),
        exe: None,
        cgroup: Some(path.to_owned()),
        container: told,
    };
    for uid in [0, 1000, 1001] {
        let caller = Caller { uid, gid: uid, tid: 7, process: Some(process.clone()) };
        let known = RULES.decide(&caller);
        // A container whose path does not hold the digits is never taken for the one that does.
        if let Decision::Allowed { by, .. } = known {
            let by_container = by.to_string() == "allow[1]";
            assert!(!by_container || path.contains("0123456789ab"), "{path:?}");
        }
    }
});
