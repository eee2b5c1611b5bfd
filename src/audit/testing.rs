//! Records to test with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::call::Call;
use super::open::{ContainerRecord, Decision, Open, Reader, RoleRead};
use super::record::{
    Event, Moment, MountRecord, Outcome, ReloadRecord, StartRecord, StopRecord, UnmountReason,
    UnmountRecord,
};
use super::request::Request;

/// 2026-09-21T14:13:20Z.
pub(super) fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// A container of docker.
pub(super) const CONTAINER_ID: &str =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// An open of one role, from a container.
pub(super) fn opened(role: &str) -> Open {
    Open {
        time: noon(),
        mount: "agents".into(),
        file: "credentials".into(),
        decision: Decision::Allowed,
        rule: Some("allow[1]".into()),
        roles: vec![RoleRead {
            name: role.into(),
            access_key_id: Some("ASIAIOSFODNN7EXAMPLE".into()),
            expiration: Some(noon() + Duration::from_hours(1)),
        }],
        reader: Reader {
            uid: 1000,
            gid: 1000,
            pid: 4243,
            tgid: Some(4242),
            start_time: Some(1234),
            comm: Some("python3".into()),
            exe: Some("/usr/bin/python3.11".into()),
            cgroup: Some("/system.slice/docker-0123.scope".into()),
            container: Some(ContainerRecord {
                runtime: "docker".into(),
                id: Some(CONTAINER_ID.into()),
                pod_uid: None,
                unit: None,
            }),
        },
        latency_us: 85,
    }
}

/// The open number `index` of the reader `pid`.
pub(super) fn numbered(pid: u32, index: u64) -> Event {
    let mut open = opened("prod");
    open.reader.pid = pid;
    open.latency_us = index;
    Event::Open(Box::new(open))
}

/// A request for one role.
pub(super) fn requested(role: &str) -> Request {
    Request {
        time: noon(),
        mount: "agents".into(),
        decision: Decision::Allowed,
        reason: None,
        roles: opened(role).roles,
        peer: "127.0.0.1:40404".into(),
        uid: Some(1000),
        latency_us: 120,
    }
}

/// A call that gave a session.
pub(super) fn assumed() -> Call {
    Call {
        time: noon(),
        role_arn: Some("arn:aws:iam::123456789012:role/team/prod".into()),
        subject: None,
        session_name: Some("agents-7".into()),
        source_identity: Some("kim".into()),
        result: Call::OK.into(),
        code: None,
        access_key_id: Some("ASIAIOSFODNN7EXAMPLE".into()),
        expiration: Some(noon() + Duration::from_hours(1)),
        request_id: Some("01234567-89ab-cdef-0123-456789abcdef".into()),
        latency_ms: 120,
    }
}

/// A call that gave something else.
pub(super) fn asked_for(subject: &str) -> Call {
    Call {
        role_arn: None,
        subject: Some(subject.into()),
        session_name: None,
        source_identity: None,
        ..assumed()
    }
}

/// One event of each kind, in a fixed order, all in mount `agents` where there is one.
pub(super) fn all_kinds() -> Vec<Event> {
    let (time, mount, path) = (noon(), "agents".into(), "/srv/agents/.aws".into());
    let moment = Moment { time };
    vec![
        Event::Start(StartRecord { time, version: "0.1.0".into(), pid: 77, uid: 1000 }),
        Event::Mount(MountRecord { time, mount, path }),
        Event::AssumeRole(Box::new(assumed())),
        Event::AssumeRoleWithWebIdentity(Box::new(assumed())),
        Event::GetSessionToken(Box::new(asked_for("arn:aws:iam::123456789012:mfa/kim"))),
        Event::GetRoleCredentials(Box::new(asked_for("123456789012/prod"))),
        Event::Token(Box::new(asked_for("github/acme"))),
        Event::Open(Box::new(opened("prod"))),
        Event::Request(Box::new(requested("prod"))),
        Event::Lock(moment.clone()),
        Event::Unlock(moment),
        Event::Reload(ReloadRecord {
            time,
            result: Outcome::Ok,
            added: 1,
            changed: 2,
            removed: 0,
            errors: 0,
        }),
        Event::Unmount(UnmountRecord {
            time,
            mount: "agents".into(),
            path: "/srv/agents/.aws".into(),
            reason: UnmountReason::Command,
        }),
        Event::Stop(StopRecord { time, pid: 77 }),
    ]
}
