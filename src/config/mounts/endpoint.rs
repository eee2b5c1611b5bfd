//! Endpoints that would be in the way of one another, or of ourselves.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use crate::config::settings::MountSettings;
use crate::config::values::{Origin, Report, Sourced, shown};
use crate::model::{BaseCredentials, Role};

/// Refuses mounts that would listen at one address.
pub(in crate::config) fn check(endpoints: &[(&str, Sourced<SocketAddr>)], report: &mut Report) {
    for (index, (name, endpoint)) in endpoints.iter().enumerate() {
        let twin = endpoints[..index].iter().find(|(_, other)| other.value == endpoint.value);
        let Some((other, _)) = twin else { continue };
        report.error(
            &endpoint.origin,
            format!(
                "endpoint {} of mount {} is that of mount {} too: choose another port",
                endpoint.value,
                shown(name),
                shown(other)
            ),
        );
    }
}

/// Refuses base credentials that a mount would have to get from its own endpoint.
pub(in crate::config) fn check_source(
    environment: &BTreeMap<String, String>,
    mounts: &[MountSettings],
    report: &mut Report,
) {
    let Some(uri) = environment.get(SOURCE) else { return };
    let authority = uri.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    let authority = authority.map(|it| it.replace("localhost:", "127.0.0.1:"));
    let Some(source) = authority.and_then(|it| it.parse::<SocketAddr>().ok()) else { return };
    let asks = |role: &Role| {
        matches!(role.chain.base, BaseCredentials::DefaultChain | BaseCredentials::EcsContainer)
    };
    if mounts.iter().any(|mount| mount.endpoint == Some(source))
        && mounts.iter().flat_map(|mount| &mount.roles).any(asks)
    {
        report.error(
            &Origin::variable(SOURCE),
            format!(
                "this names the endpoint {source} of credmount itself, which would ask itself for \
                 base credentials: unset it where credmount runs, or name a source_profile"
            ),
        );
    }
}

/// The variable by which AWS SDKs are sent to an endpoint.
const SOURCE: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
