//! What an open pins: found published, waited for, or made in a hurry.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use super::together::unless_panicking;
use super::traffic::PROC_DEADLINE;
use super::{HURRY_DEADLINE, OpenService, RENDER_DEADLINE, Requester};
use crate::broker::Cause;
use crate::metrics::OpenOutcome;
use crate::publish::Publisher;
use crate::render::{Padding, ReaderPath, status_json};
use crate::tree::{Fh, FileId, FsError, Open, View};

impl OpenService {
    /// Makes what has to be made and pins it. What is not there in time, or panics on the way, is
    /// made in a hurry: an error would send AWS clients on to the role of the instance.
    pub(super) async fn pin_in_time(
        self: &Arc<Self>,
        file: FileId,
        view: View,
        requester: Requester,
    ) -> Result<(Fh, OpenOutcome), FsError> {
        let by = requester.at + PROC_DEADLINE + self.options.deadline + RENDER_DEADLINE;
        let pinned = unless_panicking(timeout_at(by, self.pin(file, view, requester.tid))).await;
        if let Some(Ok(pinned)) = pinned {
            return Ok(pinned);
        }
        let path = self.publisher.path(file);
        tracing::error!(file = path, is_late = pinned.is_some(), "a file was not rendered");
        let hurried = async {
            Some(match file {
                FileId::Config => {
                    self.publisher.config(view, self.options.fallback_path.clone()).await
                }
                FileId::EndpointToken => self.endpoint_token(),
                FileId::Status | FileId::Metrics => return None,
                FileId::Credentials | FileId::Process(_) | FileId::Error(_) | FileId::Token(..) => {
                    let view = Publisher::content_of(file, view);
                    self.publisher.hurried(file, view, Cause::TimedOut).await
                }
            })
        };
        let hurried = unless_panicking(timeout(HURRY_DEADLINE, hurried)).await;
        let snapshot = hurried.and_then(Result::ok).flatten().ok_or(FsError::Failed)?;
        Ok((self.tree.pin(snapshot), OpenOutcome::Waited))
    }

    /// Makes what has to be made and pins it.
    async fn pin(self: &Arc<Self>, file: FileId, view: View, tid: u32) -> (Fh, OpenOutcome) {
        let momentary = match file {
            FileId::Config => {
                let path = self.reader_path(tid).await;
                self.publisher.config(view, path).await
            }
            FileId::Status => {
                let text = status_json(&self.status_of(view));
                self.publisher.momentary(file, text, Padding::Spaces).await
            }
            FileId::Metrics => {
                let text = self.metrics_of(view);
                self.publisher.momentary(file, text, Padding::Newlines).await
            }
            FileId::EndpointToken => self.endpoint_token(),
            FileId::Credentials | FileId::Process(_) | FileId::Error(_) | FileId::Token(..) => {
                return self.pin_keys(file, view).await;
            }
        };
        (self.tree.pin(momentary), OpenOutcome::Ready)
    }

    async fn pin_keys(self: &Arc<Self>, file: FileId, view: View) -> (Fh, OpenOutcome) {
        let content = Publisher::content_of(file, view);
        // Who came before us may have had it published.
        if let Open::Ready(fh) = self.tree.open(file, content, self.clock.now()) {
            return (fh, OpenOutcome::Ready);
        }
        let Some(_place) = self.traffic.wait() else {
            let snapshot = self.publisher.hurried(file, content, Cause::Busy).await;
            return (self.tree.pin(snapshot), OpenOutcome::Busy);
        };
        let mut decided = false;
        self.together.wait(file, content, || self.clone().settle_and_publish(file, view)).await;
        loop {
            if let Open::Ready(fh) = self.tree.open(file, content, self.clock.now()) {
                return (fh, OpenOutcome::Waited);
            }
            if decided {
                // Sessions so short that they fall due meanwhile are served as they are.
                self.publisher.publish_decided(file, view).await;
            } else {
                self.publisher.publish(&[]).await;
            }
            decided = true;
        }
    }

    /// Waits for all roles of a file at once, or for its token, and publishes.
    async fn settle_and_publish(self: Arc<Self>, file: FileId, view: View) {
        self.publisher.settle_token(file, self.options.deadline).await;
        let mut waits = JoinSet::new();
        for chain in self.publisher.chains(file, view) {
            let (broker, deadline) = (self.broker.clone(), self.options.deadline);
            waits.spawn(async move { broker.settled(&chain, deadline).await });
        }
        waits.join_all().await;
        self.publisher.publish(&[]).await;
    }

    async fn reader_path(&self, tid: u32) -> ReaderPath {
        if let Some(path) = &self.options.reader_path {
            return path.clone();
        }
        let locate = self.locate.clone();
        let seen = self.traffic.ask_proc(move || locate.seen_by(tid)).await.flatten();
        seen.unwrap_or_else(|| self.options.fallback_path.clone())
    }
}
