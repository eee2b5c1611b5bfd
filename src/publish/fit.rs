//! Contents of the size that their file has, and files that grow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Publisher;
use crate::model::ServedKey;
use crate::render::{self, Padding, Text};
use crate::tree::{FileId, Ino, Snapshot, Tree};

use super::listeners::{Listeners, Remember};

/// A text, the keys in it, and how it is padded.
pub(super) type Content = (Text, Vec<ServedKey>, Padding);

impl Publisher {
    /// From now on `memory` is told what the kernel is told, before the kernel. Returns when it knows
    /// what readers are told at present.
    pub async fn remember_by(&self, memory: Arc<dyn Remember>) {
        self.tell("what has been told", move |listeners| listeners.remember_by(memory)).await;
    }

    /// Tells readers the sizes of `next`, a tree that is to take the place of this one, where they
    /// are larger. Returns when that is remembered; the kernel has to be told.
    pub async fn grow_as(&self, next: &Tree) {
        self.tree.grow_as(next);
        self.tell("file sizes", Listeners::remember).await;
    }

    /// Pads to the file's size. A text that has outgrown it makes the file grow first: the larger
    /// size is told, the kernel forgets the old one, and only then is there content of that size.
    pub(super) async fn fit(&self, file: FileId, content: Content) -> Arc<Snapshot> {
        let (mut text, keys, padding) = content;
        loop {
            match padded(text, self.tree.room(file), padding) {
                Ok(padded) => return Arc::new(Snapshot::new(padded, keys)),
                Err(unfit) => text = unfit,
            }
            self.make_room(file, text.len()).await;
        }
    }

    /// Makes a file larger than `length` bytes.
    pub(super) async fn make_room(&self, file: FileId, length: usize) {
        let _one_after_the_other = self.growing.lock().await;
        if self.tree.room(file) > length {
            return;
        }
        let sections = match file {
            FileId::Credentials => self.sections.len(),
            _ => 1,
        };
        self.tree.grow(file, render::roomy(length, sections));
        let ino = self.tree.ino(file);
        self.tell("a file size", move |listeners| listeners.changed(&[ino])).await;
        self.tree.grown(file);
    }

    /// Modification times have moved. Nothing depends on when the kernel hears of it.
    pub(super) fn moved(&self, inos: Vec<Ino>) {
        if !inos.is_empty() {
            let listeners = self.listeners.clone();
            tokio::task::spawn_blocking(move || listeners.changed(&inos));
        }
    }

    /// Waits until the listeners are told, a while: readers get an answer also if they hang.
    async fn tell(&self, what: &str, tell: impl FnOnce(&Listeners) + Send + 'static) {
        let listeners = self.listeners.clone();
        let told = tokio::task::spawn_blocking(move || tell(&listeners));
        if timeout(TELLING_DEADLINE, told).await.is_err() {
            tracing::warn!(
                "{what}: the kernel, or the file that remembers it, was slow to hear of it"
            );
        }
    }
}

/// The text padded to `room`, or the text if it does not fit. Nothing fits into a file without a
/// size.
pub(super) fn padded(text: Text, room: usize, padding: Padding) -> Result<Text, Text> {
    match render::pad(text, room, padding) {
        Ok(padded) if room > 0 => Ok(padded),
        Ok(unfit) | Err(unfit) => Err(unfit),
    }
}

/// How long the kernel may take to forget a size before the larger content is served all the same.
const TELLING_DEADLINE: Duration = Duration::from_secs(1);
