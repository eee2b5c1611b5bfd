//! Readers in bind mounts of three mount namespaces, while their daemon is killed, stopped, started
//! again and replaced by another version, and STS fails at random: no reader gets an error, a wrong
//! or an expired key, half a file, or no answer.
//!
//! `CREDMOUNT_TEST_SEED` repeats the blows of a run, `CREDMOUNT_TEST_CHAOS_SECONDS` makes it longer.

mod blows;
mod readers;
mod supervised;

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::support::namespace::namespaces_available;
use crate::support::wait::now;
use crate::support::{Scene, eventually, fuse_available, variable};
use blows::{Blow, Blows};
use readers::{Readers, Report};
use supervised::{Programs, Supervised, send};

/// Short enough that sessions expire while STS fails.
const LIFETIME: Duration = Duration::from_secs(8);

/// Longer than anybody may wait for one daemon: the open deadline, and much for a busy machine.
const HUNG_SECONDS: f64 = 15.0;

/// A blow that was struck.
#[derive(Debug)]
struct Struck {
    blow: Blow,
    /// When, and when the next daemon told its state; seconds of `CLOCK_MONOTONIC`.
    at: f64,
    over: f64,
}

#[test]
fn readers_survive_whatever_becomes_of_the_daemon() {
    if !fuse_available() {
        return;
    }
    let programs = Programs::make();
    let scene = Scene::elsewhere(Vec::new(), programs.current());
    if !namespaces_available(&scene) {
        return;
    }
    let seed = number("CREDMOUNT_TEST_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let seconds = number("CREDMOUNT_TEST_CHAOS_SECONDS").unwrap_or(10);
    eprintln!("CREDMOUNT_TEST_SEED={seed}");
    scene.emulator.set_session_lifetime(Some(LIFETIME));
    let daemon = Supervised::start(&scene);
    let readers = Readers::start(&scene, &daemon.mountpoint, seed);
    let end = now() + Duration::from_secs(seconds);
    let mut struck = Vec::new();
    for step in Blows::of(seed) {
        if now() >= end {
            break;
        }
        step.weather.set(&scene.emulator);
        std::thread::sleep(step.pause);
        struck.push(strike(&programs, &daemon, step.blow));
    }
    scene.emulator.clear_faults();
    daemon.await_keys();
    let reports = readers.stop();
    tell(seed, &struck, &reports);
    judge(&struck, &reports, &daemon);
}

/// Strikes, and returns when a daemon serves again.
fn strike(programs: &Programs, daemon: &Supervised<'_>, blow: Blow) -> Struck {
    let before = daemon.pid();
    let at = monotonic();
    eprintln!("{at:.3} {blow} for {before}");
    match blow {
        // Rust's runtime takes the first one for an access to memory that will fail once more.
        Blow::Signal(Signal::SEGV) => eventually("SIGSEGV to end the daemon", || {
            send(Signal::SEGV, before);
            daemon.pid() != before
        }),
        Blow::Signal(signal) => send(signal, before),
        Blow::KillTwice => {
            send(Signal::KILL, before);
            // The next one dies while it starts.
            let next = daemon.await_other_than(before);
            send(Signal::KILL, next);
        }
        Blow::Restart => daemon.restart(),
        Blow::Upgrade => {
            programs.replace();
            daemon.restart();
        }
    }
    let version = daemon.await_serving(before);
    assert_eq!(version, programs.version(), "after {blow}");
    Struck { blow, at, over: monotonic() }
}

fn judge(struck: &[Struck], reports: &[Report], daemon: &Supervised<'_>) {
    let wrong: Vec<&String> = reports.iter().flat_map(|report| &report.wrong).collect();
    let log = daemon.log();
    assert!(wrong.is_empty(), "{} findings: {wrong:#?}\n{struck:#?}\n{log}", wrong.len());
    for report in reports {
        assert!(report.keys > 0, "a reader got no keys: {report:?}\n{log}");
        for (begin, end) in &report.stale {
            let died = struck.iter().any(|blow| blow.at <= *end && *begin <= blow.over);
            assert!(died, "stale without a reason, {begin} to {end}: {struck:#?}");
        }
        for (took, begin, operation) in &report.waits {
            let alone = undisturbed(*begin, begin + took, struck);
            let told = format!("{took:.3} s in {operation}, {alone:.3} s of them undisturbed");
            assert!(alone < HUNG_SECONDS, "{told}: {struck:#?}\n{log}");
        }
    }
}

/// The longest time between `begin` and `end` in which one daemon lived: each that is struck passes
/// on those who wait to the next.
fn undisturbed(begin: f64, end: f64, struck: &[Struck]) -> f64 {
    let during: Vec<_> = struck.iter().filter(|it| it.at < end && it.over > begin).collect();
    let begins = std::iter::once(begin).chain(during.iter().map(|it| it.over));
    let ends = during.iter().map(|it| it.at).chain(std::iter::once(end));
    begins.zip(ends).map(|(begin, end)| end - begin).fold(0.0, f64::max)
}

fn tell(seed: u64, struck: &[Struck], reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    eprintln!(
        "seed {seed}: {} reads, {} keys, {} of them tried; {} renderings said that a role failed, \
         {} keys were over before their turn came, {} descriptors were stale",
        sum(|report| report.reads),
        sum(|report| report.keys),
        sum(|report| report.calls),
        sum(|report| report.failing),
        sum(|report| report.late),
        reports.iter().map(|report| report.stale.len()).sum::<usize>(),
    );
    let mut by_blow: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for blow in struck {
        by_blow.entry(blow.blow.to_string()).or_default().push(blow.over - blow.at);
    }
    for (blow, took) in by_blow {
        let longest = took.iter().copied().fold(0.0, f64::max);
        eprintln!(
            "{} times {blow}: a daemon served again after {longest:.3} s at most",
            took.len()
        );
    }
    let waits = reports.iter().flat_map(|report| &report.waits);
    let longest = waits.max_by(|(one, ..), (other, ..)| one.total_cmp(other));
    if let Some((took, begin, operation)) = longest {
        let cause = struck.iter().rev().find(|blow| blow.at <= begin + took && *begin <= blow.over);
        let cause = cause.map_or("no blow".to_owned(), |blow| blow.blow.to_string());
        eprintln!("longest interruption: {took:.3} s in {operation}, at {cause}");
    }
}

fn number(name: &str) -> Option<u64> {
    let text = variable(name)?;
    let text = text.to_str().expect("a number");
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// As Python's `time.monotonic`.
fn monotonic() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    let whole = Duration::from_secs(now.tv_sec.unsigned_abs());
    (whole + Duration::from_nanos(now.tv_nsec.unsigned_abs())).as_secs_f64()
}
