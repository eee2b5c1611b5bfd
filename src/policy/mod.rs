//! Who may read which roles and tokens. Pure: a caller's facts come in, a decision goes out. Must not read
//! `/proc`, the clock or the configuration.
//!
//! 1. The first rule that matches decides. A rule that names roles or tokens gives these
//!    and nothing else; one with empty lists refuses.
//! 2. If none matches, the mounting user reads everything and everybody else is refused. A user is
//!    a uid of the host: root of a rootful container is the mounting user where root mounts.
//! 3. A condition on a fact that is unknown does not hold: no rule on cgroup, container or exe gives
//!    anything to a caller about whom `/proc` could not be trusted.
//! 4. Nor does hiding a fact help. Where a rule before may have been about the caller, and would
//!    have left less than the one that decides, the caller is refused. A process can hide: by
//!    making itself undumpable, or by opening as somebody else by way of `io_uring(7)`.

#![forbid(unsafe_code)]

pub mod container;
mod rule;

use std::fmt;

pub use rule::AllowRule;
use rule::Match;

use crate::model::{Caller, Part};

/// The rules of one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    owner_uid: u32,
    views: Vec<Option<Part>>,
}

/// A rule and the view that it gives; `None` for a rule that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allow: AllowRule,
    view: Option<usize>,
}

/// What a caller may read.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A part of the mount, or all of it.
    Allowed {
        /// What decided.
        by: DecidedBy,
        /// Which of [`Policy::views`].
        view: usize,
    },
    /// Nothing.
    Refused {
        /// What decided.
        by: DecidedBy,
    },
}

/// What decided. Shown as `allow[2]`, `owner`, `no rule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidedBy {
    /// The rule of this number, counted from 1.
    Rule(usize),
    /// The rule of this number may be about the caller, of whom too little is known, and would have
    /// left less. Shown as `allow[2], caller unknown`.
    Doubt(usize),
    /// No rule matched, and it is the mounting user.
    Owner,
    /// No rule matched.
    NoRule,
}

impl Policy {
    /// The rules in their order, at a mount of `owner_uid`.
    pub fn new(rules: Vec<AllowRule>, owner_uid: u32) -> Self {
        let mut views = vec![None];
        let rules = rules.into_iter().map(|allow| Rule { view: view(&mut views, &allow), allow });
        Self { rules: rules.collect(), owner_uid, views }
    }

    /// What a caller may read.
    pub fn decide(&self, caller: &Caller) -> Decision {
        let mut in_doubt = Vec::new();
        for (rule, number) in self.rules.iter().zip(1..) {
            match rule.allow.matches(caller, self.owner_uid) {
                Match::Yes => return self.decided(DecidedBy::Rule(number), rule.view, &in_doubt),
                Match::Unknown => in_doubt.push((rule, number)),
                Match::No => {}
            }
        }
        if caller.uid == self.owner_uid {
            self.decided(DecidedBy::Owner, Some(ALL), &in_doubt)
        } else {
            Decision::Refused { by: DecidedBy::NoRule }
        }
    }

    /// The distinct parts of the mount that [`Self::decide`] tells apart, by their number; `None` for
    /// all of it, which is always the first.
    pub fn views(&self) -> &[Option<Part>] {
        &self.views
    }

    /// Whether any rule looks at more than uid and gid, so that decisions need
    /// [`Caller::process`].
    pub fn needs_process(&self) -> bool {
        self.rules.iter().any(|rule| rule.allow.needs_process())
    }

    fn decided(&self, by: DecidedBy, view: Option<usize>, in_doubt: &[(&Rule, usize)]) -> Decision {
        let Some(view) = view else { return Decision::Refused { by } };
        let less = in_doubt.iter().find(|(rule, _)| self.is_less(rule.view, view));
        match less {
            Some((_, number)) => Decision::Refused { by: DecidedBy::Doubt(*number) },
            None => Decision::Allowed { by, view },
        }
    }

    /// Whether a view is a part of another, and not all of it.
    fn is_less(&self, view: Option<usize>, than: usize) -> bool {
        let Some(view) = view else { return true };
        match (&self.views[view], &self.views[than]) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(part), Some(whole)) => part.is_within(whole) && view != than,
        }
    }
}

/// The number of the rule's view, which is added unless it is there; `None` if it is empty.
fn view(views: &mut Vec<Option<Part>>, rule: &AllowRule) -> Option<usize> {
    let Some(part) = &rule.only else { return Some(ALL) };
    if part.is_empty() {
        return None;
    }
    let is_equal = |view: &Option<Part>| view.as_ref() == Some(part);
    Some(views.iter().position(is_equal).unwrap_or_else(|| {
        views.push(Some(part.clone()));
        views.len() - 1
    }))
}

impl Decision {
    /// What decided.
    pub fn by(self) -> DecidedBy {
        match self {
            Self::Allowed { by, .. } | Self::Refused { by } => by,
        }
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(number) => write!(f, "allow[{number}]"),
            Self::Doubt(number) => write!(f, "allow[{number}], caller unknown"),
            Self::Owner => f.write_str("owner"),
            Self::NoRule => f.write_str("no rule"),
        }
    }
}

/// The view of everything.
const ALL: usize = 0;

#[cfg(test)]
mod tests;
