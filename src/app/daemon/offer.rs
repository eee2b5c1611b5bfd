//! The endpoint of a mount while it is served: opened, moved by a reload, closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::live::{Ground, LiveMount};
use crate::app::plan::Plan;
use crate::endpoint::{self, Endpoint};

/// Where the endpoint of a mount listens, and why it does not at present.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) trouble: Arc<Mutex<Option<String>>>,
}

/// An address to listen at, and the listener if that could be bound.
pub(super) type Bound = (SocketAddr, io::Result<TcpListener>);

impl LiveMount {
    /// Hands out keys over HTTP, too.
    pub(super) fn offer(&self, (address, listener): Bound) -> Endpoint {
        if let Err(error) = &listener {
            let told = endpoint::cannot_listen(address, error);
            tracing::error!(mount = self.plan.label(), "{told}; it is tried again");
        }
        Endpoint::start(address, self.token.clone(), self.service.clone(), listener)
    }

    /// Listens where the plan says from now on. Tells if that cannot be done at present.
    pub(super) async fn move_endpoint(&mut self) -> Option<String> {
        if self.endpoint.as_ref().map(Endpoint::address) == self.plan.endpoint {
            return None;
        }
        self.end_endpoint().await;
        let address = self.plan.endpoint?;
        let listener = endpoint::listen(address).await;
        let told = listener.as_ref().err().map(|error| endpoint::cannot_listen(address, error));
        self.endpoint = Some(self.offer((address, listener)));
        told.map(|told| format!("{}: {told}; it is tried again", self.plan.label()))
    }

    /// No keys are handed out over HTTP any more, and the address is free.
    pub(super) async fn end_endpoint(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.stop().await;
        }
    }

    /// The endpoint as `status` shows it, at any time from now on.
    pub(super) fn endpoint(&self) -> Option<Listening> {
        let endpoint = self.endpoint.as_ref()?;
        Some(Listening { address: endpoint.address(), trouble: endpoint.trouble() })
    }
}

/// Listens where a mount that is made is to hand out keys over HTTP.
///
/// # Errors
/// If that cannot be done, and the mount is a new one. One that was kept has readers, who need it.
pub(super) async fn listen(plan: &Plan, ground: &Ground) -> Result<Option<Bound>> {
    let Some(address) = plan.endpoint else { return Ok(None) };
    match (endpoint::listen(address).await, ground) {
        (Err(error), Ground::Free(_)) => bail!(endpoint::cannot_listen(address, &error)),
        (listener, _) => Ok(Some((address, listener))),
    }
}
