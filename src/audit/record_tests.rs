//! Records as lines.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::Text;
use super::open::*;
use super::record::*;
use super::testing::{all_kinds, assumed, opened, requested};
use crate::model::{Caller, Container, Process, ServedKey};

#[test]
fn a_record_is_one_flat_object_with_the_event_first() {
    let mut caller = Caller::unknown(1000, 1000, 4243);
    caller.process = Some(Process {
        tgid: 4242,
        start_time: 7,
        comm: "python3".to_owned(),
        exe: Some("/usr/bin/python3.11".to_owned()),
        cgroup: Some("/docker/0123".to_owned()),
        container: Some(Container {
            runtime: "docker".to_owned(),
            id: Some("0123".to_owned()),
            ..Container::default()
        }),
    });
    let key = ServedKey {
        name: "prod".to_owned(),
        access_key_id: "ASIAEXAMPLE".to_owned(),
        expiration: UNIX_EPOCH + Duration::from_millis(1_800_000_000_900),
    };
    let open = Open {
        time: UNIX_EPOCH + Duration::from_nanos(1_790_000_000_123_456_789),
        mount: "agents".into(),
        file: "credentials".into(),
        decision: Decision::Allowed,
        rule: Some("allow[1]".into()),
        roles: vec![RoleRead::from(&key), RoleRead::without_key("dev")],
        reader: Reader::from(&caller),
        latency_us: 85,
    };
    let expected = concat!(
        r#"{"event":"open","time":"2026-09-21T14:13:20.123456Z","mount":"agents","#,
        r#""file":"credentials","decision":"allowed","rule":"allow[1]","#,
        r#""roles":[{"name":"prod","access_key_id":"ASIAEXAMPLE","#,
        r#""expiration":"2027-01-15T08:00:00Z"},{"name":"dev"}],"#,
        r#""uid":1000,"gid":1000,"pid":4243,"tgid":4242,"start_time":7,"comm":"python3","#,
        r#""exe":"/usr/bin/python3.11","cgroup":"/docker/0123","#,
        r#""container":{"runtime":"docker","id":"0123"},"latency_us":85}"#,
    );
    assert_eq!(serde_json::to_string(&Event::Open(Box::new(open))).unwrap(), expected);
}

#[test]
fn of_an_unknown_caller_only_the_words_of_the_kernel_are_recorded() {
    let reader = Reader::from(&Caller::unknown(1, 2, 0));
    assert_eq!(serde_json::to_string(&reader).unwrap(), r#"{"uid":1,"gid":2,"pid":0}"#);
}

#[test]
fn every_kind_of_record_is_read_back_as_it_was() {
    let mut names = Vec::new();
    for event in all_kinds() {
        let line = serde_json::to_string(&event).unwrap();
        let head = format!("{{\"event\":\"{}\",\"time\":\"2026-", event.name());
        assert!(line.starts_with(&head), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        names.push(event.name());
    }
    names.dedup();
    assert_eq!(names.len(), 14, "each kind is among them");
}

#[test]
fn fields_of_later_versions_are_passed_over() {
    let line = r#"{"event":"lock","time":"2026-09-21T14:13:20.000000Z","by":{"uid":7}}"#;
    assert!(matches!(serde_json::from_str(line), Ok(Event::Lock(_))));
}

#[test]
fn refusals_and_failures_are_told_apart() {
    let mut open = opened("prod");
    assert!(!Event::Open(Box::new(open.clone())).is_failure());
    open.decision = Decision::Refused;
    assert!(Event::Open(Box::new(open)).is_failure());
    let mut request = requested("prod");
    assert!(!Event::Request(Box::new(request.clone())).is_failure());
    request.decision = Decision::Refused;
    assert!(Event::Request(Box::new(request)).is_failure());
    let mut call = assumed();
    assert!(!Event::AssumeRole(Box::new(call.clone())).is_failure());
    call.result = "AccessDenied".into();
    assert!(Event::AssumeRole(Box::new(call)).is_failure());
}

proptest! {
    #[test]
    fn no_text_of_a_caller_breaks_the_line(
        comm in any::<String>(),
        exe in "\\PC{0,40}[\\x00-\\x1f\"\\\\\u{85}\u{2028}]{1,4}\\PC{0,40}",
        cgroup in any::<String>(),
        nanos in 0_u64..4_000_000_000_000_000_000,
    ) {
        let mut open = opened("prod");
        open.time = UNIX_EPOCH + Duration::from_micros(nanos / 1000);
        open.reader.comm = Some(Text::new(&comm));
        open.reader.exe = Some(Text::new(&exe));
        open.reader.cgroup = Some(Text::new(&cgroup));
        let event = Event::Open(Box::new(open));
        let line = serde_json::to_string(&event).unwrap();
        prop_assert!(line.bytes().all(|byte| byte >= b' '), "{line:?}");
        prop_assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
