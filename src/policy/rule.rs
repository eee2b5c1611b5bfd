//! One rule of `[[mounts.NAME.allow]]`, and whether a caller meets it.

use glob::Pattern;

use super::container;
use crate::model::{Caller, Part, Process};

/// A rule: matches a caller for whom every condition given holds. Without any condition it matches
/// everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowRule {
    /// The user id, as the host counts. Uid 1000 of a container without a user namespace of its own
    /// is uid 1000 of the host.
    pub uid: Option<u32>,
    /// The primary group id, as the host counts.
    pub gid: Option<u32>,
    /// The cgroup's path; `*` also matches `/`. A pattern is safe as far as nobody else may make
    /// cgroups below its fixed beginning: users name those below their own `user@UID.service` as
    /// they like, so `/docker/*` says more than `*/docker/*`. `/` itself is where all those stand
    /// whom nobody gave a cgroup: a rule for it is a rule for strangers.
    pub cgroup: Option<Pattern>,
    /// The first digits of the container id, at least 12. Of nested containers the outermost
    /// counts, with everything inside it: a container may name those within as it likes. A container
    /// in the slice of a user counts only if that is the mounting user or the one of `uid`.
    pub container: Option<String>,
    /// The program's path, best effort: as the caller's mount namespace has it, so a container can
    /// put any program there; followed by ` (deleted)` once the file was replaced.
    pub exe: Option<Pattern>,
    /// What the caller may read; `None` for everything, nothing at all for a rule that refuses.
    pub only: Option<Part>,
}

/// Whether a rule is about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// What is known of the caller holds, but something that the rule asks for is unknown.
    Unknown,
}

impl AllowRule {
    /// Whether it looks at more than the kernel says with each request.
    pub(super) fn needs_process(&self) -> bool {
        self.cgroup.is_some() || self.container.is_some() || self.exe.is_some()
    }

    /// Whether it is about this caller, at a mount of `owner_uid`.
    pub(super) fn matches(&self, caller: &Caller, owner_uid: u32) -> Match {
        let process = caller.process.as_ref();
        let conditions = [
            self.uid.map(|uid| Match::from(uid == caller.uid)),
            self.gid.map(|gid| Match::from(gid == caller.gid)),
            self.cgroup
                .as_ref()
                .map(|pattern| Match::known(cgroup(process), |path| pattern.matches(path))),
            self.container.as_deref().map(|prefix| {
                Match::known(cgroup(process), |path| self.is_in_container(prefix, path, owner_uid))
            }),
            self.exe.as_ref().map(|pattern| {
                let exe = process.and_then(|process| process.exe.as_deref());
                Match::known(exe, |path| pattern.matches(path))
            }),
        ];
        conditions.into_iter().flatten().fold(Match::Yes, Match::and)
    }

    fn is_in_container(&self, prefix: &str, cgroup: &str, owner_uid: u32) -> bool {
        let trusted = |user| user == owner_uid || Some(user) == self.uid;
        container::outermost(cgroup).is_some_and(|container| {
            container.id.starts_with(prefix) && container.named_by.is_none_or(trusted)
        })
    }
}

impl Match {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn known(fact: Option<&str>, holds: impl FnOnce(&str) -> bool) -> Self {
        fact.map_or(Self::Unknown, |fact| Self::from(holds(fact)))
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

fn cgroup(process: Option<&Process>) -> Option<&str> {
    process?.cgroup.as_deref()
}
