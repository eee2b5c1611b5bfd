//! Records as people read them: one sentence each. Pure. What callers chose themselves cannot
//! steer a terminal.

use std::fmt::Write as _;

use super::call::Call;
use super::open::{ContainerRecord, Decision, Open, Reader};
use super::record::{Event, Outcome, UnmountReason};
use super::request::Request;
use super::text::instant;

/// The record in words, without its time.
pub(super) fn sentence(event: &Event) -> String {
    match event {
        Event::Open(open) => open_sentence(open),
        Event::Request(request) => request_sentence(request),
        Event::AssumeRole(call) => call_sentence("assume", "assumed", call),
        Event::AssumeRoleWithWebIdentity(call) => {
            call_sentence("assume by token", "assumed by token", call)
        }
        Event::GetSessionToken(call) => {
            call_sentence("open a session with", "opened a session with", call)
        }
        Event::GetRoleCredentials(call) => {
            call_sentence("get the keys of", "got the keys of", call)
        }
        Event::Token(call) => call_sentence("get a token for", "got a token for", call),
        Event::Mount(at) => {
            format!("mount {} serves at {}", shown(at.mount.as_str()), shown(at.path.as_str()))
        }
        Event::Unmount(at) => format!(
            "mount {} at {} ended: {}",
            shown(at.mount.as_str()),
            shown(at.path.as_str()),
            reason(at.reason)
        ),
        Event::Reload(reload) => match reload.result {
            Outcome::Ok => format!(
                "the configuration was reloaded; mounts added: {}, changed: {}, removed: {}",
                reload.added, reload.changed, reload.removed
            ),
            Outcome::Failed => {
                format!("the configuration was not reloaded; errors in it: {}", reload.errors)
            }
        },
        Event::Lock(_) => "locked: no mount hands out keys".to_owned(),
        Event::Unlock(_) => "unlocked: mounts hand out keys again".to_owned(),
        Event::Start(start) => format!(
            "credmount {} started (pid {}, uid {})",
            shown(start.version.as_str()),
            start.pid,
            start.uid
        ),
        Event::Stop(stop) => format!("credmount stopped (pid {})", stop.pid),
    }
}

fn open_sentence(open: &Open) -> String {
    let reader = &open.reader;
    let mut text = format!("uid {} ({}", reader.uid, program(reader));
    // Writing to a String cannot fail.
    let _ = write!(text, ", pid {}", process(reader));
    if let Some(container) = &reader.container {
        let _ = write!(text, ", {}", place(container));
    }
    let (mount, file) = (shown(open.mount.as_str()), shown(open.file.as_str()));
    let _ = match open.decision {
        Decision::Allowed => write!(text, ") read {file} of {mount}"),
        Decision::Refused => write!(text, ") was refused {file} of {mount}"),
    };
    if let (Some(rule), Decision::Refused) = (&open.rule, open.decision) {
        let _ = write!(text, " by {}", shown(rule.as_str()));
    }
    let names: Vec<String> = open.roles.iter().map(|role| shown(role.name.as_str())).collect();
    if !names.is_empty() {
        let _ = write!(text, ": {}", names.join(", "));
    }
    text
}

fn request_sentence(request: &Request) -> String {
    let uid = request.uid.map_or_else(|| UNKNOWN.to_owned(), |uid| uid.to_string());
    let (peer, mount) = (shown(request.peer.as_str()), shown(request.mount.as_str()));
    let names: Vec<String> = request.roles.iter().map(|role| shown(role.name.as_str())).collect();
    let asked = if names.is_empty() { "keys".to_owned() } else { names.join(", ") };
    let mut text = match request.decision {
        Decision::Allowed => {
            format!("uid {uid} ({peer}) asked the endpoint of {mount} for {asked}")
        }
        Decision::Refused => {
            format!("uid {uid} ({peer}) was refused {asked} by the endpoint of {mount}")
        }
    };
    if let Some(reason) = &request.reason {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {}", shown(reason.as_str()));
    }
    text
}

fn call_sentence(to_do: &str, done: &str, call: &Call) -> String {
    let mut text = if call.is_ok() { done.to_owned() } else { format!("could not {to_do}") };
    // Writing to a String cannot fail.
    let _ = write!(text, " {}", shown(call.asked()));
    if let Some(session) = &call.session_name {
        let _ = write!(text, " as {}", shown(session.as_str()));
    }
    if !call.is_ok() {
        let _ = write!(text, ": {}", shown(call.result.as_str()));
    }
    if let Some(code) = &call.code {
        let _ = write!(text, " ({})", shown(code.as_str()));
    }
    if let Some(key) = &call.access_key_id {
        let _ = write!(text, ", key {}", shown(key.as_str()));
    }
    if let Some(expiration) = call.expiration {
        let _ = write!(text, ", expires {}", instant::seconds(expiration));
    }
    let _ = write!(text, ", {} ms", call.latency_ms);
    text
}

fn reason(reason: UnmountReason) -> &'static str {
    match reason {
        UnmountReason::Stop => "the daemon stops",
        UnmountReason::Command => "by command",
        UnmountReason::Reload => "the configuration has it no more",
        UnmountReason::Expired => "its time is over",
        UnmountReason::ProcessEnded => "the process it was for has ended",
        UnmountReason::Foreign => "somebody else removed it",
        UnmountReason::Broken => "the connection to the kernel broke",
    }
}

/// The program as well as it is known: its path, else what its thread calls itself.
pub(super) fn program(reader: &Reader) -> String {
    let named = reader.exe.as_ref().or(reader.comm.as_ref());
    named.map_or_else(|| UNKNOWN.to_owned(), |name| shown(name.as_str()))
}

/// The process id, else the thread id.
pub(super) fn process(reader: &Reader) -> u32 {
    reader.tgid.unwrap_or(reader.pid)
}

/// The container, pod or unit, short: `docker:0123456789ab`, `backup.service`.
pub(super) fn place(container: &ContainerRecord) -> String {
    let runtime = shown(container.runtime.as_str());
    let mut text = match (&container.id, &container.unit) {
        (Some(id), _) => {
            let short: String = id.as_str().chars().take(SHORT_ID).collect();
            format!("{runtime}:{}", shown(&short))
        }
        (None, Some(unit)) => shown(unit.as_str()),
        (None, None) => runtime,
    };
    if let Some(pod_uid) = &container.pod_uid {
        let _ = write!(text, " pod {}", shown(pod_uid.as_str()));
    }
    text
}

/// The text with control characters, and those that change the direction of writing, escaped.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let bends = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || bends {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

pub(super) const UNKNOWN: &str = "-";

/// As many digits of a container id as docker and podman show.
const SHORT_ID: usize = 12;

#[cfg(test)]
mod tests {
    use super::super::testing::{all_kinds, asked_for, assumed, opened, requested};
    use super::*;

    #[test]
    fn each_kind_of_record_has_its_sentence() {
        let sentences: Vec<String> = all_kinds().iter().map(sentence).collect();
        assert_eq!(
            sentences,
            [
                "credmount 0.1.0 started (pid 77, uid 1000)",
                "mount agents serves at /srv/agents/.aws",
                "assumed arn:aws:iam::123456789012:role/team/prod as agents-7, key \
                 ASIAIOSFODNN7EXAMPLE, expires 2026-09-21T15:13:20Z, 120 ms",
                "assumed by token arn:aws:iam::123456789012:role/team/prod as agents-7, key \
                 ASIAIOSFODNN7EXAMPLE, expires 2026-09-21T15:13:20Z, 120 ms",
                "opened a session with arn:aws:iam::123456789012:mfa/kim, key \
                 ASIAIOSFODNN7EXAMPLE, expires 2026-09-21T15:13:20Z, 120 ms",
                "got the keys of 123456789012/prod, key ASIAIOSFODNN7EXAMPLE, expires \
                 2026-09-21T15:13:20Z, 120 ms",
                "got a token for github/acme, key ASIAIOSFODNN7EXAMPLE, expires \
                 2026-09-21T15:13:20Z, 120 ms",
                "uid 1000 (/usr/bin/python3.11, pid 4242, docker:0123456789ab) read credentials \
                 of agents: prod",
                "uid 1000 (127.0.0.1:40404) asked the endpoint of agents for prod",
                "locked: no mount hands out keys",
                "unlocked: mounts hand out keys again",
                "the configuration was reloaded; mounts added: 1, changed: 2, removed: 0",
                "mount agents at /srv/agents/.aws ended: by command",
                "credmount stopped (pid 77)",
            ]
        );
    }

    #[test]
    fn what_was_refused_says_by_which_rule() {
        let mut open = opened("prod");
        open.decision = Decision::Refused;
        (open.reader.exe, open.reader.container) = (None, None);
        let text = sentence(&Event::Open(Box::new(open)));
        assert_eq!(
            text,
            "uid 1000 (python3, pid 4242) was refused credentials of agents by allow[1]: prod"
        );
        let mut request = requested("prod");
        (request.decision, request.reason) = (Decision::Refused, Some("InvalidToken".into()));
        (request.roles, request.uid) = (Vec::new(), None);
        assert_eq!(
            sentence(&Event::Request(Box::new(request))),
            "uid - (127.0.0.1:40404) was refused keys by the endpoint of agents: InvalidToken"
        );
        let mut call = assumed();
        (call.access_key_id, call.expiration) = (None, None);
        (call.result, call.code) = ("BaseExpired".into(), Some("ExpiredToken".into()));
        let text = sentence(&Event::AssumeRole(Box::new(call)));
        assert!(text.ends_with("as agents-7: BaseExpired (ExpiredToken), 120 ms"), "{text}");
        let mut call = asked_for("github/acme");
        (call.access_key_id, call.expiration) = (None, None);
        call.result = "TokenDenied".into();
        let text = sentence(&Event::Token(Box::new(call)));
        assert_eq!(text, "could not get a token for github/acme: TokenDenied, 120 ms");
    }

    #[test]
    fn a_caller_cannot_steer_the_terminal() {
        let mut open = opened("prod");
        open.reader.exe = Some("/tmp/\u{1b}[2J\n\u{9b}1m\u{202e}x".into());
        let text = sentence(&Event::Open(Box::new(open)));
        assert!(text.contains(r"/tmp/\u{1b}[2J\n\u{9b}1m\u{202e}x"), "{text}");
    }

    #[test]
    fn containers_are_named_as_their_tools_do() {
        let record = |id: Option<&str>, pod_uid: Option<&str>, unit: Option<&str>| {
            let runtime = "x".into();
            let text = |text: Option<&str>| text.map(Into::into);
            place(&ContainerRecord {
                runtime,
                id: text(id),
                pod_uid: text(pod_uid),
                unit: text(unit),
            })
        };
        assert_eq!(record(Some("0123456789abcdef"), None, Some("u")), "x:0123456789ab");
        assert_eq!(record(None, None, Some("backup.service")), "backup.service");
        assert_eq!(record(None, Some("7-8"), None), "x pod 7-8");
    }
}
