//! The text as a whole: a snapshot, the grammar of the format, and what one mount may not see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::broker::{CallKind, Cause, FailedCall, GivenKey, ObserveCalls as _, SessionCall};

const PROD: &str = "arn:aws:iam::123456789012:role/prod";
const DEV: &str = "arn:aws:iam::123456789012:role/dev";

fn call(role_arn: &str, latency: Duration, failure: Option<Cause>) -> SessionCall {
    let key = GivenKey {
        packed_percent: None,
        access_key_id: "ASIA1".to_owned(),
        expiration: SystemTime::UNIX_EPOCH,
        request_id: None,
    };
    let failed = |cause| FailedCall { cause, code: None, detail: String::new(), request_id: None };
    SessionCall {
        kind: CallKind::AssumeRole,
        subject: role_arn.to_owned(),
        session_name: Some("name".to_owned()),
        source_identity: None,
        started: SystemTime::UNIX_EPOCH,
        latency,
        outcome: failure.map_or(Ok(key), |cause| Err(failed(cause))),
    }
}

/// A daemon with two mounts that have been used, each with a role of its own.
struct Scene {
    agent: MountMetrics,
    build: MountMetrics,
    calls: CallMetrics,
    audit: AuditCounts,
}

const AGENT_ROLES: &[RoleGauge<'_>] = &[
    RoleGauge {
        profile: "prod",
        role_arn: Some(PROD),
        remaining: Duration::from_millis(1_800_900),
    },
    RoleGauge { profile: "base", role_arn: None, remaining: Duration::ZERO },
];
const BUILD_ROLES: &[RoleGauge<'_>] =
    &[RoleGauge { profile: "dev", role_arn: Some(DEV), remaining: Duration::from_mins(1) }];

impl Scene {
    fn new() -> Self {
        let scene = Self {
            agent: MountMetrics::default(),
            build: MountMetrics::default(),
            calls: CallMetrics::default(),
            audit: AuditCounts::default(),
        };
        scene.agent.opened(OpenOutcome::Ready, Duration::from_micros(45));
        scene.agent.opened(OpenOutcome::Ready, Duration::from_micros(30));
        scene.agent.opened(OpenOutcome::Waited, Duration::from_millis(250));
        scene.agent.opened(OpenOutcome::Refused, Duration::from_micros(15));
        scene.agent.requested(RequestOutcome::Served);
        scene.agent.requested(RequestOutcome::Limited);
        scene.agent.audit().written();
        scene.build.opened(OpenOutcome::Waited, Duration::from_secs(11));
        scene.build.opened(OpenOutcome::Busy, Duration::from_millis(1));
        scene.build.audit().failed();
        scene.audit.written();
        scene.calls.clock_skew(-600);
        scene.calls.count(&call(PROD, Duration::from_millis(240), None));
        scene.calls.count(&call(PROD, Duration::from_secs(8), Some(Cause::TimedOut)));
        scene.calls.count(&call(DEV, Duration::from_millis(80), Some(Cause::AccessDenied)));
        scene
    }

    fn views(&self) -> [MountView<'_>; 2] {
        [
            MountView { label: "agent", metrics: &self.agent, roles: AGENT_ROLES },
            MountView { label: "build", metrics: &self.build, roles: BUILD_ROLES },
        ]
    }

    fn daemon_text(&self) -> String {
        daemon_text(&self.views(), &self.calls, &self.audit)
    }
}

#[test]
fn the_text_of_a_mount() {
    let scene = Scene::new();
    let text = mount_text(&scene.views()[0], &scene.calls);
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text);
}

#[test]
fn a_mount_sees_nothing_of_the_others() {
    let scene = Scene::new();
    let text = mount_text(&scene.views()[0], &scene.calls);
    assert!(text.contains(PROD));
    for foreign in ["build", DEV, "AccessDenied", "mount=\"\""] {
        assert!(!text.replace("build_info", "").contains(foreign), "{foreign}\n{text}");
    }
}

#[test]
fn the_daemon_tells_of_all_mounts_and_roles() {
    let samples = parsed(&Scene::new().daemon_text());
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let key = (name.to_owned(), labels.collect());
        samples.get(&key).copied().unwrap_or_else(|| panic!("{key:?} is missing"))
    };
    let assume = ("action", "AssumeRole");
    for (expected, name, labels) in [
        (3.0, "credmount_opens_total", &[("mount", "agent"), ("decision", "allowed")][..]),
        (1.0, "credmount_opens_total", &[("mount", "agent"), ("decision", "refused")]),
        (2.0, "credmount_open_ready_total", &[("mount", "agent")]),
        (0.0, "credmount_open_ready_total", &[("mount", "build")]),
        (2.0, "credmount_opens_total", &[("mount", "build"), ("decision", "allowed")]),
        (1.0, "credmount_open_busy_total", &[("mount", "build")]),
        (11.001, "credmount_open_duration_seconds_sum", &[("mount", "build")]),
        (1.0, "credmount_renewals_total", &[("role", PROD), assume, ("result", "ok")]),
        (1.0, "credmount_renewals_total", &[("role", PROD), assume, ("result", "TimedOut")]),
        (1.0, "credmount_renewals_total", &[("role", DEV), assume, ("result", "AccessDenied")]),
        (-600.0, "credmount_clock_skew_seconds", &[]),
        (8.24, "credmount_sts_duration_seconds_sum", &[("role", PROD)]),
        (1.0, "credmount_audit_records_total", &[("mount", "")]),
        (1.0, "credmount_audit_failures_total", &[("mount", "build")]),
        (
            1800.0,
            "credmount_session_remaining_seconds",
            &[("mount", "agent"), ("profile", "prod"), ("role", PROD)],
        ),
        (
            0.0,
            "credmount_session_remaining_seconds",
            &[("mount", "agent"), ("profile", "base"), ("role", "")],
        ),
    ] {
        assert!((value(name, labels) - expected).abs() < 1e-9, "{name} {labels:?}");
    }
}

#[test]
fn calls_of_other_services_than_sts_are_counted_and_not_timed() {
    let calls = CallMetrics::default();
    let token =
        SessionCall { kind: CallKind::Token, ..call("github/acme", Duration::from_secs(1), None) };
    calls.count(&token);
    calls.count(&call(PROD, Duration::from_secs(1), None));
    let samples = parsed(&daemon_text(&[], &calls, &AuditCounts::default()));
    let of_token: Vec<&str> = samples
        .keys()
        .filter(|(_, labels)| labels.get("role").is_some_and(|role| role == "github/acme"))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(of_token, ["credmount_renewals_total"]);
}

#[test]
fn histograms_are_cumulative_and_agree_with_their_count() {
    let samples = parsed(&Scene::new().daemon_text());
    let mut rows: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), value) in &samples {
        let Some(family) = name.strip_suffix("_bucket") else { continue };
        let mut labels = labels.clone();
        let bound = labels.remove("le").expect("a bound").parse().expect("a number");
        rows.entry((family.to_owned(), labels)).or_default().push((bound, *value));
    }
    assert_eq!(rows.len(), 4, "two mounts and two roles");
    for ((family, labels), mut buckets) in rows {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family}: {buckets:?}");
        let (last_bound, last) = buckets[buckets.len() - 1];
        assert!(last_bound.is_infinite(), "{family}: {buckets:?}");
        let count = samples[&(format!("{family}_count"), labels)];
        assert!((last - count).abs() < f64::EPSILON, "{family}: {last} and {count}");
    }
}

#[test]
fn every_family_is_listed_even_before_anything_happened() {
    let text = daemon_text(&[], &CallMetrics::default(), &AuditCounts::default());
    let families = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(families, 12, "{text}");
    parsed(&text);
}

proptest! {
    #[test]
    fn any_label_can_be_read_back(label in ".*", profile in "[\\\\\"\n a=,{}]{0,12}") {
        let roles = [RoleGauge { profile: &profile, role_arn: None, remaining: Duration::ZERO }];
        let metrics = MountMetrics::default();
        let view = MountView { label: &label, metrics: &metrics, roles: &roles };
        let samples = parsed(&mount_text(&view, &CallMetrics::default()));
        let gauge = samples
            .keys()
            .find(|(name, _)| name == "credmount_session_remaining_seconds")
            .expect("the gauge");
        prop_assert_eq!(&gauge.1["mount"], &label);
        prop_assert_eq!(&gauge.1["profile"], &profile);
    }
}

type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads a text by the grammar of the format, strictly: each family once, its head before its
/// samples, each sample once.
fn parsed(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line must end");
    let mut samples = Samples::new();
    let mut seen = BTreeSet::new();
    let mut family: Option<(String, String)> = None;
    let mut help = None;
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect("a help text");
            assert!(!words.is_empty() && !words.contains('\\'), "{line}");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(help.as_deref(), Some(name), "help comes right before the type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(seen.insert(name.to_owned()), "{name} comes twice");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (name, labels, value) = sample(line);
            let (family, kind) = family.as_ref().expect("a family before its samples");
            let suffix = name.strip_prefix(family.as_str()).expect("a sample of its family");
            let suffixes: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
            assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    samples
}

/// One sample: `name{label="value",…} number`.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let is_name = |text: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !text.is_empty()
            && text.chars().all(legal)
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut labels = BTreeMap::new();
    let Some((name, mut rest)) = line.split_once('{') else {
        let (name, number) = line.split_once(' ').expect("a number");
        assert!(is_name(name), "{line}");
        return (name.to_owned(), labels, number.parse().expect("a number"));
    };
    assert!(is_name(name), "{line}");
    loop {
        let (label, after) = rest.split_once("=\"").expect("a label");
        assert!(is_name(label), "{line}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("the end of the value") {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    other => panic!("{other:?} is no escape: {line}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
        rest = match &after[end..] {
            more if more.starts_with(',') => &more[1..],
            last => {
                let number = last.strip_prefix("} ").expect("a number");
                return (name.to_owned(), labels, number.parse().expect("a number"));
            }
        };
    }
}
