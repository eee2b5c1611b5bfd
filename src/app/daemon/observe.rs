//! What the daemon tells of itself: records for the audit log, and counts for metrics.

use std::process;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::process::geteuid;

use crate::app::plan::Plan;
use crate::audit::{
    AssumeRole, AuditLog, Event, MountRecord, OnFailure, Recorder, Sinks, StartRecord, StopRecord,
    Text, UnmountReason, UnmountRecord,
};
use crate::broker::{AssumeRoleCall, BoxFuture, ObserveCalls, Observers};
use crate::config::{OnAuditFailure, Settings};
use crate::metrics::CallMetrics;

/// The audit log that settings want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Audit {
    sinks: Sinks,
    on_failure: OnFailure,
}

impl Audit {
    pub(super) fn of(settings: &Settings) -> Self {
        let sinks = Sinks { file: settings.audit_log.clone(), journal: settings.audit_journal };
        let on_failure = match settings.on_audit_failure {
            OnAuditFailure::Serve => OnFailure::Serve,
            OnAuditFailure::Refuse => OnFailure::Refuse,
        };
        Self { sinks, on_failure }
    }

    /// Opens it; `None` if nothing is to be recorded.
    ///
    /// # Errors
    /// If a sink cannot be opened.
    pub(super) fn open(&self) -> Result<Option<Arc<AuditLog>>> {
        if self.sinks == Sinks::default() {
            return Ok(None);
        }
        let log = AuditLog::start(self.sinks.clone(), self.on_failure);
        log.map(Some).context("the audit log cannot be opened")
    }
}

/// Who is told of AssumeRole calls.
pub(super) fn observer(
    recorder: &Arc<Recorder>,
    calls: &Arc<CallMetrics>,
) -> Arc<dyn ObserveCalls> {
    let records = Arc::new(CallRecords(recorder.clone()));
    Arc::new(Observers(vec![calls.clone(), records]))
}

/// Records each AssumeRole call.
#[derive(Debug)]
struct CallRecords(Arc<Recorder>);

impl ObserveCalls for CallRecords {
    fn assume_role<'a>(&'a self, call: &'a AssumeRoleCall) -> BoxFuture<'a, ()> {
        // A session is not held back because its record cannot be written: opens are.
        self.0.note(assume_role(call));
        Box::pin(std::future::ready(()))
    }
}

fn assume_role(call: &AssumeRoleCall) -> Event {
    let text = |text: &String| Text::new(text);
    let (key, failed) = (call.outcome.as_ref().ok(), call.outcome.as_ref().err());
    let result = failed.map_or(AssumeRole::OK, |failed| failed.cause.name());
    let request_id = match &call.outcome {
        Ok(key) => &key.request_id,
        Err(failed) => &failed.request_id,
    };
    Event::AssumeRole(Box::new(AssumeRole {
        time: call.started + call.latency,
        role_arn: text(&call.role_arn),
        session_name: text(&call.session_name),
        source_identity: call.source_identity.as_ref().map(text),
        result: Text::new(result),
        code: failed.and_then(|failed| failed.code.as_ref()).map(text),
        access_key_id: key.map(|key| text(&key.access_key_id)),
        expiration: key.map(|key| key.expiration),
        request_id: request_id.as_ref().map(text),
        latency_ms: u64::try_from(call.latency.as_millis()).unwrap_or(u64::MAX),
    }))
}

pub(super) fn started(time: SystemTime) -> Event {
    Event::Start(StartRecord {
        time,
        version: Text::new(env!("CARGO_PKG_VERSION")),
        pid: process::id(),
        uid: geteuid().as_raw(),
    })
}

pub(super) fn stopped(time: SystemTime) -> Event {
    Event::Stop(StopRecord { time, pid: process::id() })
}

pub(super) fn mounted(plan: &Plan, time: SystemTime) -> Event {
    let (mount, path) = names(plan);
    Event::Mount(MountRecord { time, mount, path })
}

pub(super) fn unmounted(plan: &Plan, reason: UnmountReason, time: SystemTime) -> Event {
    let (mount, path) = names(plan);
    Event::Unmount(UnmountRecord { time, mount, path, reason })
}

fn names(plan: &Plan) -> (Text, Text) {
    (Text::new(&plan.label()), Text::new(&plan.mountpoint.display().to_string()))
}
