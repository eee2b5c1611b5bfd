//! What the daemon tells of itself: records for the audit log, and counts for metrics.

use std::process;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::process::geteuid;

use crate::app::plan::Plan;
use crate::audit::{
    AuditLog, Call, Event, MountRecord, OnFailure, Recorder, Sinks, StartRecord, StopRecord, Text,
    UnmountReason, UnmountRecord,
};
use crate::broker::{BoxFuture, CallKind, ObserveCalls, Observers, SessionCall};
use crate::config::{OnAuditFailure, Settings};
use crate::metrics::CallMetrics;

/// What settings mean for the audit log.
#[derive(Debug)]
pub(super) enum NextLog {
    /// The one in use goes on; its file is opened anew.
    Same,
    /// Another, or none.
    Another(Option<Arc<AuditLog>>),
}

impl NextLog {
    /// From now on that is where records go.
    pub(super) async fn apply(self, recorder: &Recorder) {
        match self {
            Self::Same => recorder.reopen(),
            Self::Another(log) => recorder.replace(log).await,
        }
    }
}

/// The audit log that these settings want, opened unless it is in use already.
///
/// # Errors
/// If a sink cannot be opened.
pub(super) fn next_log(settings: &Settings, recorder: &Recorder) -> Result<NextLog> {
    let sinks = Sinks { file: settings.audit_log.clone(), journal: settings.audit_journal };
    if sinks == Sinks::default() {
        return Ok(NextLog::Another(None));
    }
    let on_failure = match settings.on_audit_failure {
        OnAuditFailure::Serve => OnFailure::Serve,
        OnAuditFailure::Refuse => OnFailure::Refuse,
    };
    if recorder.is_for(&sinks, on_failure) {
        return Ok(NextLog::Same);
    }
    let log = AuditLog::start(sinks, on_failure).context("the audit log cannot be opened")?;
    Ok(NextLog::Another(Some(log)))
}

/// Who is told of calls.
pub(super) fn observer(
    recorder: &Arc<Recorder>,
    calls: &Arc<CallMetrics>,
) -> Arc<dyn ObserveCalls> {
    let records = Arc::new(CallRecords(recorder.clone()));
    Arc::new(Observers(vec![calls.clone(), records]))
}

/// Records each call.
#[derive(Debug)]
struct CallRecords(Arc<Recorder>);

impl ObserveCalls for CallRecords {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        // A session is not held back because its record cannot be written: opens are.
        self.0.note(called(call));
        Box::pin(std::future::ready(()))
    }
}

fn called(call: &SessionCall) -> Event {
    let text = |text: &String| Text::new(text);
    let (key, failed) = (call.outcome.as_ref().ok(), call.outcome.as_ref().err());
    let result = failed.map_or(Call::OK, |failed| failed.cause.name());
    let request_id = match &call.outcome {
        Ok(key) => &key.request_id,
        Err(failed) => &failed.request_id,
    };
    let subject = Some(text(&call.subject));
    let (role_arn, subject) = match call.kind {
        CallKind::AssumeRole | CallKind::AssumeRoleWithWebIdentity => (subject, None),
        CallKind::GetSessionToken | CallKind::GetRoleCredentials | CallKind::Token => {
            (None, subject)
        }
    };
    let record = Box::new(Call {
        time: call.started + call.latency,
        role_arn,
        subject,
        session_name: call.session_name.as_ref().map(text),
        source_identity: call.source_identity.as_ref().map(text),
        result: Text::new(result),
        code: failed.and_then(|failed| failed.code.as_ref()).map(text),
        access_key_id: key.map(|key| text(&key.access_key_id)),
        expiration: key.map(|key| key.expiration),
        request_id: request_id.as_ref().map(text),
        latency_ms: u64::try_from(call.latency.as_millis()).unwrap_or(u64::MAX),
    });
    match call.kind {
        CallKind::AssumeRole => Event::AssumeRole(record),
        CallKind::AssumeRoleWithWebIdentity => Event::AssumeRoleWithWebIdentity(record),
        CallKind::GetSessionToken => Event::GetSessionToken(record),
        CallKind::GetRoleCredentials => Event::GetRoleCredentials(record),
        CallKind::Token => Event::Token(record),
    }
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
