//! A changed configuration, applied to the mounts that serve.

use std::sync::Arc;

use anyhow::Result;

use super::needs::{Needs, identities_of};
use super::{Daemon, keep, observe, start};
use crate::app::lifeline::Lifeline;
use crate::app::plan::Plan;
use crate::app::safe::KeptSessions;
use crate::audit::{Event, Outcome, ReloadRecord, UnmountReason};
use crate::config::ConfigErrors;

/// What a reload does to each mount. Mounts are told apart by where they are.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// To be mounted.
    appear: Vec<Plan>,
    /// To be served differently: the place among the present ones, and the plan.
    change: Vec<(usize, Plan)>,
    /// To be ended: the places among the present ones, the last one first.
    go: Vec<usize>,
    /// What is asked for but cannot be done to a mount that serves.
    notes: Vec<String>,
}

impl Changes {
    fn between(present: &[&Plan], wanted: Vec<Plan>) -> Self {
        let mut changes =
            Self { appear: Vec::new(), change: Vec::new(), go: Vec::new(), notes: Vec::new() };
        let stays = |plan: &Plan| wanted.iter().any(|it| it.mountpoint == plan.mountpoint);
        changes.go = (0..present.len()).rev().filter(|at| !stays(present[*at])).collect();
        for mut plan in wanted {
            let Some(at) = present.iter().position(|it| it.mountpoint == plan.mountpoint) else {
                changes.appear.push(plan);
                continue;
            };
            changes.notes.extend(plan.bow_to(present[at].shape()));
            if plan != *present[at] {
                changes.change.push((at, plan));
            }
        }
        changes
    }

    fn counts(&self) -> Counts {
        Counts {
            added: count(self.appear.len()),
            changed: count(self.change.len()),
            removed: count(self.go.len()),
        }
    }
}

/// How many mounts a reload touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    added: u64,
    changed: u64,
    removed: u64,
}

/// How much is wrong.
fn errors_in(error: &anyhow::Error) -> u64 {
    let errors = error.downcast_ref::<ConfigErrors>().map_or(1, |errors| errors.0.len());
    count(errors)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Daemon {
    /// Reads the configuration anew and applies it. Sessions that are still needed are kept.
    ///
    /// # Errors
    /// If anything is wrong with it, all of it; then nothing is changed. A mount that cannot be
    /// made although all seemed well is told, and the rest is applied.
    pub(super) async fn reload(&mut self) -> Result<String> {
        let done = self.apply().await;
        if let Err(error) = &done {
            self.still_broken(error).await;
        }
        self.record(&done);
        done.map(|(_, told)| told)
    }

    /// Records what became of a reload.
    pub(super) fn record(&self, done: &Result<(Counts, String)>) {
        let (result, counts, errors) = match done {
            Ok((counts, _)) => (Outcome::Ok, *counts, 0),
            Err(error) => (Outcome::Failed, Counts::default(), errors_in(error)),
        };
        let (time, Counts { added, changed, removed }) = (self.shared.clock.now(), counts);
        let record = ReloadRecord { time, result, added, changed, removed, errors };
        self.shared.recorder.note(Event::Reload(record));
    }

    /// As [`Daemon::reload`], without a record: how much was changed, and what there is to tell.
    pub(super) async fn apply(&mut self) -> Result<(Counts, String)> {
        let settings = self.blueprint.settings(&self.added())?;
        let wanted = self.blueprint.plans(&settings)?;
        let present: Vec<&Plan> = self.mounts.iter().map(|it| &it.mount.plan).collect();
        let changes = Changes::between(&present, wanted);
        let counts = changes.counts();
        let base_files = self.blueprint.surroundings.base_files();
        let mut nothing = Lifeline::default();
        let appear = start::prepare(changes.appear, &self.shared, &base_files, &mut nothing)?;

        let clock = self.shared.clock.clone();
        let log = observe::next_log(&settings, &self.shared.recorder)?;
        let observer = observe::observer(&self.shared.recorder, &self.shared.calls);
        let (surroundings, codes) = (&self.blueprint.surroundings, self.shared.codes.clone());
        let logins = Some(self.shared.logins.clone());
        let source = surroundings.sts(&settings, clock, observer, codes, logins).await;
        self.shared.codes.configure(&settings);
        log.apply(&self.shared.recorder).await;
        self.shared.broken = None;
        self.shared.keeps_logins = keep::wanted(&settings);
        self.fill_safe();
        self.shared.tokens.configure(self.shared.logins.clone(), settings.min_ttl);
        let source = KeptSessions::new(source, self.shared.safe.clone());
        self.shared.broker.configure(Arc::new(source), settings.min_ttl);
        let identities = identities_of(&settings);
        self.shared.logins.retain(|identity| identities.contains(identity));
        self.shared.traffic.limit(settings.max_waiting_opens);
        self.shared.broker.limit_calls(settings.sts_calls_per_second);
        if !self.shared.locked {
            let replaced = changes.change.iter().map(|(_, plan)| plan);
            let new = appear.iter().map(|(plan, _)| plan).chain(replaced);
            let needs = Needs::of(new).beyond(&Needs::of(present));
            needs.fetch(&self.shared, settings.open_deadline).await;
        }
        self.expected = Needs::of(appear.iter().map(|(plan, _)| plan));
        let mut notes = changes.notes;
        for (at, plan) in changes.change {
            notes.extend(self.mounts[at].mount.replace(plan, &self.shared).await);
        }
        for at in changes.go {
            if let Err(error) = self.end(at, UnmountReason::Reload).await {
                notes.push(format!("{error:#}"));
            }
        }
        for (plan, ground) in appear {
            let label = plan.label();
            if let Err(error) = self.mount(plan, ground, None).await {
                notes.push(format!("{label}: {error:#}"));
            }
        }
        self.expected = Needs::default();
        self.changed();
        self.remember();
        let Counts { added, changed, removed } = counts;
        tracing::info!(added, changed, removed, "reloaded");
        for note in &notes {
            tracing::warn!("{note}");
        }
        let told = format!("{added} mounts added, {changed} changed, {removed} ended");
        Ok((counts, [&[told][..], &notes[..]].concat().join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::MountSettings;

    fn plan(path: &str) -> Plan {
        let settings = MountSettings { path: Some(path.into()), ..MountSettings::default() };
        Plan::new(&settings, None, Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn mounts_appear_change_stay_and_go_by_their_paths() {
        let (stays, goes) = (plan("/stays"), plan("/goes"));
        let before = plan("/changes");
        let after = Plan { name: Some("new".to_owned()), ..before.clone() };
        let wanted = vec![plan("/appears"), after.clone(), stays.clone()];
        let changes = Changes::between(&[&goes, &before, &stays], wanted);
        assert_eq!(changes.appear, [plan("/appears")]);
        assert_eq!(changes.change, [(1, after)]);
        assert_eq!(changes.go, [0]);
        assert!(changes.notes.is_empty());
    }

    #[test]
    fn what_belongs_to_the_super_block_stays_and_is_told() {
        let before = plan("/live");
        let after = Plan { allow_other: true, ..before.clone() };
        let changes = Changes::between(&[&before], vec![after]);
        assert!(changes.change.is_empty());
        assert!(changes.notes[0].contains("credmount unmount /live"), "{:?}", changes.notes);
    }
}
