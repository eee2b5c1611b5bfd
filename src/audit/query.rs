//! Reads records back and chooses among them. Pure: lines come in, events go out.

use std::time::SystemTime;

use super::call::Call;
use super::open::{ContainerRecord, RoleRead};
use super::record::Event;

/// A line of an audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A record.
    Event(Event),
    /// Nothing but white space.
    Blank,
    /// Anything else: a line that a full disk has cut, a record of a later version.
    Unknown,
}

/// Parses a line, with or without its newline.
pub fn parse(line: &[u8]) -> Line {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Line::Blank;
    }
    serde_json::from_slice(line).map_or(Line::Unknown, Line::Event)
}

/// Which records are wanted: those for which every condition given holds. A record that does not
/// have what a condition is about is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<SystemTime>,
    /// The name of a role or token as readers see it; of a call what was asked for, as an ARN, or
    /// its last part.
    pub role: Option<String>,
    /// The first characters of a container id or a pod's uid, or a whole unit.
    pub container: Option<String>,
    /// The name of a mount, or its path.
    pub mount: Option<String>,
}

impl Filter {
    /// Whether the record is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.time() >= since)
            && self.role.as_ref().is_none_or(|role| has_role(event, role))
            && self.container.as_ref().is_none_or(|wanted| is_from(event, wanted))
            && self.mount.as_ref().is_none_or(|mount| is_about(event, mount))
    }
}

fn has_role(event: &Event, wanted: &str) -> bool {
    match event {
        Event::Open(open) => has_role_read(&open.roles, wanted),
        Event::Request(request) => has_role_read(&request.roles, wanted),
        Event::AssumeRole(call)
        | Event::AssumeRoleWithWebIdentity(call)
        | Event::GetSessionToken(call)
        | Event::GetRoleCredentials(call)
        | Event::Token(call) => was_asked(call, wanted),
        Event::Mount(_)
        | Event::Unmount(_)
        | Event::Reload(_)
        | Event::Lock(_)
        | Event::Unlock(_)
        | Event::Start(_)
        | Event::Stop(_) => false,
    }
}

fn has_role_read(roles: &[RoleRead], wanted: &str) -> bool {
    roles.iter().any(|role| role.name.as_str() == wanted)
}

fn was_asked(call: &Call, wanted: &str) -> bool {
    let asked = call.asked();
    asked == wanted || asked.rsplit('/').next() == Some(wanted)
}

fn is_from(event: &Event, wanted: &str) -> bool {
    let Event::Open(open) = event else { return false };
    let Some(container) = &open.reader.container else { return false };
    let ContainerRecord { id, pod_uid, unit, .. } = container;
    let begins = [id, pod_uid].into_iter().flatten().any(|id| id.as_str().starts_with(wanted));
    begins || unit.as_ref().is_some_and(|unit| unit.as_str() == wanted)
}

fn is_about(event: &Event, wanted: &str) -> bool {
    match event {
        Event::Open(open) => open.mount.as_str() == wanted,
        Event::Request(request) => request.mount.as_str() == wanted,
        Event::Mount(at) => at.mount.as_str() == wanted || at.path.as_str() == wanted,
        Event::Unmount(at) => at.mount.as_str() == wanted || at.path.as_str() == wanted,
        Event::AssumeRole(_)
        | Event::AssumeRoleWithWebIdentity(_)
        | Event::GetSessionToken(_)
        | Event::GetRoleCredentials(_)
        | Event::Token(_)
        | Event::Reload(_)
        | Event::Lock(_)
        | Event::Unlock(_)
        | Event::Start(_)
        | Event::Stop(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{CONTAINER_ID, all_kinds, noon, opened};
    use super::*;

    #[track_caller]
    fn check(filter: &Filter, expected: &[&str]) {
        let all = all_kinds();
        let found: Vec<&str> =
            all.iter().filter(|event| filter.matches(event)).map(Event::name).collect();
        assert_eq!(found, expected, "{filter:?}");
    }

    #[test]
    fn without_conditions_every_record_is_wanted() {
        let all: Vec<&str> = all_kinds().iter().map(Event::name).collect();
        check(&Filter::default(), &all);
    }

    #[test]
    fn a_role_is_found_where_it_was_read_and_where_it_was_assumed() {
        let role = |role: &str| Filter { role: Some(role.to_owned()), ..Filter::default() };
        let assumed = ["assume_role", "assume_role_with_web_identity"];
        check(&role("arn:aws:iam::123456789012:role/team/prod"), &assumed);
        let calls = [assumed[0], assumed[1], "get_role_credentials"];
        check(&role("prod"), &[&calls[..], &["open", "request"]].concat());
        check(&role("github/acme"), &["token"]);
        check(&role("pro"), &[]);
    }

    #[test]
    fn a_container_is_found_by_the_first_digits_of_its_id() {
        let from = |text: &str| Filter { container: Some(text.to_owned()), ..Filter::default() };
        check(&from(&CONTAINER_ID[..12]), &["open"]);
        check(&from(CONTAINER_ID), &["open"]);
        check(&from("123456789abc"), &[]);
        let mut open = opened("prod");
        if let Some(container) = &mut open.reader.container {
            (container.id, container.unit) = (None, Some("backup.service".into()));
            container.pod_uid = Some("11112222-3333".into());
        }
        let event = Event::Open(Box::new(open));
        assert!(from("backup.service").matches(&event) && from("11112222").matches(&event));
        assert!(!from("backup").matches(&event), "a unit has no digits to shorten");
    }

    #[test]
    fn a_mount_is_found_by_name_and_path() {
        let mount = |mount: &str| Filter { mount: Some(mount.to_owned()), ..Filter::default() };
        check(&mount("agents"), &["mount", "open", "request", "unmount"]);
        check(&mount("/srv/agents/.aws"), &["mount", "unmount"]);
        check(&mount("agent"), &[]);
    }

    #[test]
    fn conditions_hold_together() {
        let at = Filter {
            since: Some(noon()),
            role: Some("prod".to_owned()),
            mount: Some("agents".to_owned()),
            ..Filter::default()
        };
        check(&at, &["open", "request"]);
        check(&Filter { since: Some(noon() + Duration::from_micros(1)), ..at }, &[]);
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        let line = serde_json::to_string(&all_kinds()[3]).unwrap() + "\n";
        assert_eq!(parse(line.as_bytes()), Line::Event(all_kinds().remove(3)));
        assert_eq!(parse(b" \n"), Line::Blank);
        assert_eq!(parse(&line.as_bytes()[..40]), Line::Unknown);
        assert_eq!(parse(b"\xff\n"), Line::Unknown);
        let later = br#"{"event":"later","time":"2026-09-21T14:13:20.000000Z"}"#;
        assert_eq!(parse(later), Line::Unknown);
    }
}
