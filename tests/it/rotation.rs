//! Renewal as fast as it goes under many readers: nothing torn, nothing stale, no size that lies.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

use crate::support::daemon::arn;
use crate::support::namespace::{in_mount_namespace, namespaces_available};
use crate::support::{Daemon, Scene};

const READERS: usize = 8;
const SECONDS: u64 = 10;

#[derive(Debug, Deserialize)]
struct Judgement {
    reads: u64,
    torn: Vec<u64>,
    sizes: Vec<Vec<u64>>,
    last_open: HashMap<String, i128>,
}

#[test]
fn a_bound_directory_is_never_torn_or_stale_under_forced_renewal() {
    forced_renewal("live", "bound", "bound/credentials");
}

#[test]
fn a_bound_file_is_never_torn_or_stale_under_forced_renewal() {
    forced_renewal("live/credentials", "bound-credentials", "bound-credentials");
}

/// Binds `source` on `target` in a mount namespace of the readers' own and lets them read `file`.
fn forced_renewal(source: &str, target: &str, file: &str) {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let limit = ["--sts-calls-per-second", "100"];
    let daemon = scene.mount(&[&["--role", &arn("prod")][..], &limit].concat());
    // Tokens of any length up to what STS is known to give; the file has grown before the
    // readers come, because growth has a rule of its own (see the test below).
    scene.emulator.set_token_length(4096..=4096);
    daemon.refresh();
    scene.emulator.set_token_length(400..=4096);
    daemon.refresh();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/readers/torn.py");
    let readers: Vec<Child> = (0..READERS)
        .map(|_| {
            let mut reader = Command::new("python3");
            reader.arg(&script).arg(scene.path(file)).arg(SECONDS.to_string());
            let bind = (scene.path(source), scene.path(target));
            in_mount_namespace(&scene, &[bind], &reader).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let served = renew_until_done(&scene, &daemon);
    let mut reads = 0;
    for reader in readers {
        let output = reader.wait_with_output().unwrap();
        assert!(output.status.success(), "a reader failed");
        let judgement: Judgement = serde_json::from_slice(&output.stdout).unwrap();
        assert!(judgement.torn.is_empty(), "torn: {:?}", judgement.torn);
        assert!(judgement.sizes.is_empty(), "sizes differed: {:?}", judgement.sizes);
        assert!(judgement.reads > 10, "only {} reads", judgement.reads);
        reads += judgement.reads;
        for (key, opened) in &judgement.last_open {
            let replaced = served.get(key).copied().flatten();
            let stale = replaced.is_some_and(|replaced| *opened > replaced);
            assert!(!stale, "{key} was read after its successor was served");
        }
    }
    eprintln!("{reads} reads across {} renewals", served.len());
    assert!(served.len() > 10, "only {} renewals", served.len());
}

/// Renews for a little longer than the readers read. For each key: when its successor was known
/// to be served, in nanoseconds of `CLOCK_MONOTONIC`.
fn renew_until_done(scene: &Scene, daemon: &Daemon<'_>) -> HashMap<String, Option<i128>> {
    let end = monotonic() + i128::from(SECONDS + 1) * 1_000_000_000;
    let newest = || scene.emulator.issued_sessions().last().unwrap().access_key_id.clone();
    let mut served = HashMap::new();
    let mut current = newest();
    while monotonic() < end {
        daemon.refresh_over_socket();
        let successor = newest();
        served.insert(std::mem::replace(&mut current, successor), Some(monotonic()));
    }
    served.insert(current, None);
    served
}

fn monotonic() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// While a file grows, a descriptor opened before may be told a size larger than its bytes. No
/// reader is ever told a smaller one, and nothing is cut.
#[test]
fn a_growing_file_is_never_cut() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_token_length(400..=400);
    let daemon = scene.mount_prod();
    let path = daemon.file("credentials");
    let mut sizes = Vec::new();
    for length in [400, 1000, 2000, 3000, 4096, 400] {
        let before = std::fs::File::open(&path).unwrap();
        scene.emulator.set_token_length(length..=length);
        daemon.refresh();
        let told = before.metadata().unwrap().len();
        let old = std::io::read_to_string(&before).unwrap();
        assert!(told >= old.len() as u64, "told {told}, has {}", old.len());
        assert!(old.ends_with('\n'));
        let (text, size) = crate::support::read_with_size(&path);
        assert_eq!(text.len() as u64, size);
        let token = crate::support::ini_value(&text, "prod", "aws_session_token").unwrap();
        assert_eq!(token.len(), length);
        sizes.push(size);
    }
    assert!(sizes.is_sorted(), "a file never shrinks: {sizes:?}");
    assert!(sizes[0] < sizes[4]);
}
