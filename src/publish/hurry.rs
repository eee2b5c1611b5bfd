//! What those get who cannot wait: at most one rendering a second for all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Publisher;
use super::fit::{Content, padded};
use crate::broker::{Cause, SessionError};
use crate::render::ProfileState;
use crate::tree::{FileId, Snapshot, View};

/// Renderings made in a hurry, by file, view and what is said of a role that is being fetched.
pub(super) type Hurried = HashMap<(FileId, View, Cause), Kept>;

/// One of them, and how long it holds.
#[derive(Debug)]
pub(super) struct Kept {
    snapshot: Arc<Snapshot>,
    made: Instant,
    until: SystemTime,
}

impl Publisher {
    /// What can be said of a file at once, without waiting for a session: roles that can be served
    /// are live in it, and those of which nothing can be said yet fail because of `cause`. It is not
    /// published, so that opens which can wait go on to.
    ///
    /// For files that hold keys or the reason why there are none.
    pub async fn hurried(&self, file: FileId, view: View, cause: Cause) -> Arc<Snapshot> {
        let mut made = self.hurry(file, view, cause);
        loop {
            match made {
                Ok(snapshot) => return snapshot,
                Err(length) => self.make_room(file, length).await,
            }
            made = self.hurry(file, view, cause);
        }
    }

    /// The rendering, or the length for which there is no room. Made under the lock, so that a crowd
    /// has it made once, and none is kept that [`Publisher::close`] has not heard of.
    fn hurry(&self, file: FileId, view: View, cause: Cause) -> Result<Arc<Snapshot>, usize> {
        let (key, now) = ((file, view, cause), self.clock.now());
        let mut hurried = self.hurried.lock();
        let kept = hurried.get(&key);
        if let Some(kept) = kept.filter(|it| it.made.elapsed() < SHOWN && now < it.until) {
            return Ok(kept.snapshot.clone());
        }
        let (content, until) = self.hurried_content(file, view, cause, now);
        let (text, keys, padding) = content;
        let text = padded(text, self.tree.room(file), padding).map_err(|text| text.len())?;
        let snapshot = Arc::new(Snapshot::new(text, keys));
        if hurried.len() >= MOST {
            hurried.clear();
        }
        let kept = Kept { snapshot: snapshot.clone(), made: Instant::now(), until };
        hurried.insert(key, kept);
        Ok(snapshot)
    }

    /// What can be said of a file, and how long.
    fn hurried_content(
        &self,
        file: FileId,
        view: View,
        cause: Cause,
        now: SystemTime,
    ) -> (Content, SystemTime) {
        let sections = match file {
            FileId::Token(index, _) => {
                let state = self.token_state(index, Some(cause), now);
                let failing = || ProfileState::Failing(SessionError::new("", cause, ""));
                let (state, until) = state.unwrap_or_else(|| (failing(), now + SHOWN));
                return (self.token_content(file, &state), until);
            }
            FileId::Process(index) | FileId::Error(index) => vec![index],
            _ => self.views[view.0].sections.clone(),
        };
        let state = |section: &usize| {
            let chain = &self.served.roles[self.sections[*section].role].chain;
            self.role_state(chain, Some(cause), now)
        };
        let states: Vec<_> = sections.iter().filter_map(state).collect();
        let until = states.iter().map(|(_, until)| *until).min().unwrap_or(now + SHOWN);
        let states: Vec<ProfileState> = states.into_iter().map(|(state, _)| state).collect();
        (self.content(file, view, &states), until)
    }
}

/// How long one rendering does for all.
const SHOWN: Duration = Duration::from_secs(1);

/// Renderings kept.
const MOST: usize = 64;
