//! Which sessions are kept fresh in the background.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::{Broker, Sought};
use crate::model::RoleChain;

/// Renews the sessions of a set of chains, which may change. Dropping it ends all renewal.
#[derive(Debug)]
pub struct Keeper<K: Sought = RoleChain> {
    broker: Arc<Broker<K>>,
    kept: HashMap<Arc<K>, AbortHandle>,
}

impl<K: Sought> Keeper<K> {
    /// A keeper of nothing yet.
    pub fn new(broker: Arc<Broker<K>>) -> Self {
        Self { broker, kept: HashMap::new() }
    }

    /// Keeps exactly these from now on; the sessions of all others are forgotten. One chain that
    /// several mounts name is kept once.
    pub fn keep(&mut self, chains: impl IntoIterator<Item = Arc<K>>) {
        let wanted: HashSet<Arc<K>> = chains.into_iter().collect();
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

impl<K: Sought> Drop for Keeper<K> {
    fn drop(&mut self) {
        for task in self.kept.values() {
            task.abort();
        }
    }
}
