//! Which sessions are kept fresh in the background.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::Broker;
use crate::model::RoleChain;

/// Renews the sessions of a set of chains, which may change. Dropping it ends all renewal.
#[derive(Debug)]
pub struct Keeper {
    broker: Arc<Broker>,
    kept: HashMap<Arc<RoleChain>, AbortHandle>,
}

impl Keeper {
    /// A keeper of nothing yet.
    pub fn new(broker: Arc<Broker>) -> Self {
        Self { broker, kept: HashMap::new() }
    }

    /// Keeps exactly these from now on; the sessions of all others are forgotten. One chain that
    /// several mounts name is kept once.
    pub fn keep(&mut self, chains: impl IntoIterator<Item = Arc<RoleChain>>) {
        let wanted: HashSet<Arc<RoleChain>> = chains.into_iter().collect();
        self.kept.retain(|chain, task| {
            let keep = wanted.contains(chain);
            if !keep {
                task.abort();
            }
            keep
        });
        self.broker.retain(&wanted);
        for chain in wanted {
            let broker = &self.broker;
            self.kept.entry(chain).or_insert_with_key(|chain| {
                tokio::spawn(broker.clone().maintain(chain.clone())).abort_handle()
            });
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for task in self.kept.values() {
            task.abort();
        }
    }
}
