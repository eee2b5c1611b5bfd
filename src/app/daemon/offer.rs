//! The endpoint of a mount while it is served: opened, moved by a reload, closed. Must not know what
//! else a mount has.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::endpoint::{self, Endpoint};
use crate::model::Secret;
use crate::open::CurrentService;

/// Where the endpoint of a mount listens, and why it does not at present.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) trouble: Arc<Mutex<Option<String>>>,
}

/// An address to listen at, and the listener if that could be bound.
pub(super) type Bound = (SocketAddr, io::Result<TcpListener>);

/// Listens where a mount that is made is to hand out keys over HTTP, if it is to.
///
/// # Errors
/// If that cannot be done, and the mount is a new one. One that was kept has readers, who need it.
pub(super) async fn listen(address: Option<SocketAddr>, is_kept: bool) -> Result<Option<Bound>> {
    let Some(address) = address else { return Ok(None) };
    match endpoint::listen(address).await {
        Err(error) if !is_kept => bail!(endpoint::cannot_listen(address, &error)),
        listener => Ok(Some((address, listener))),
    }
}

/// Whether and where a mount hands out keys over HTTP.
#[derive(Debug)]
pub(super) struct Offer {
    /// What opens the endpoint, whenever there is one.
    token: Secret,
    endpoint: Option<Endpoint>,
}

impl Offer {
    /// No endpoint yet, but a token for it.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub(super) fn new() -> Result<Self> {
        let token = endpoint::new_token().context("making a token for the endpoint")?;
        Ok(Self { token, endpoint: None })
    }

    /// What opens the endpoint.
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// Hands out keys of `service` at this address. `mount` is what messages call it.
    pub(super) fn open(
        &mut self,
        (address, listener): Bound,
        mount: &str,
        service: &Arc<CurrentService>,
    ) {
        if let Err(error) = &listener {
            let told = endpoint::cannot_listen(address, error);
            tracing::error!(mount, "{told}; it is tried again");
        }
        let endpoint = Endpoint::start(address, self.token.clone(), service.clone(), listener);
        self.endpoint = Some(endpoint);
    }

    /// Listens at this address from now on, or nowhere. Tells if that cannot be done at present.
    pub(super) async fn move_to(
        &mut self,
        address: Option<SocketAddr>,
        mount: &str,
        service: &Arc<CurrentService>,
    ) -> Option<String> {
        if self.endpoint.as_ref().map(Endpoint::address) == address {
            return None;
        }
        self.close().await;
        let address = address?;
        let listener = endpoint::listen(address).await;
        let told = listener.as_ref().err().map(|error| endpoint::cannot_listen(address, error));
        self.open((address, listener), mount, service);
        told.map(|told| format!("{mount}: {told}; it is tried again"))
    }

    /// Hands out no keys any more; when this returns, the address is free.
    pub(super) async fn close(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.stop().await;
        }
    }

    /// The endpoint as `status` shows it, at any time from now on.
    pub(super) fn listening(&self) -> Option<Listening> {
        let endpoint = self.endpoint.as_ref()?;
        Some(Listening { address: endpoint.address(), trouble: endpoint.trouble() })
    }
}
