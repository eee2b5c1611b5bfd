//! Where the endpoint of a mount listens. An address is a mere value, so it is taken from `core::net`:
//! nothing here does any I/O.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use super::error::{Origin, Report};
use super::layer::Sourced;
use super::settings::MountSettings;
use super::value::shown;
use crate::model::{BaseCredentials, Role};

/// Where an endpoint listens. Its token and its keys go over the connection in clear, so it is the
/// loopback interface; AWS SDKs take no other address without TLS either (AWS SDKs and Tools
/// Reference Guide, "Container credential provider").
pub(super) fn parse(key: &str, text: &str) -> Result<SocketAddr, String> {
    let found = shown(text);
    let remedy = "write it as in 127.0.0.1:9911 or [::1]:9911";
    let address: SocketAddr = text
        .trim()
        .parse()
        .map_err(|_| format!("{key} {found} is no IP address with a port: {remedy}"))?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{key} {found} is not of the loopback interface: keys would go over a network in \
             clear, and AWS SDKs refuse it; {remedy}"
        ));
    }
    if address.port() == 0 {
        return Err(format!("{key} {found} names no port, which programs have to know: {remedy}"));
    }
    Ok(address)
}

/// Refuses mounts that would listen at one address.
pub(super) fn check(endpoints: &[(&str, Sourced<SocketAddr>)], report: &mut Report) {
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
pub(super) fn check_source(
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_of_the_loopback_interface_and_have_a_port() {
        for good in ["127.0.0.1:9911", "127.9.9.9:1", "[::1]:65535"] {
            assert_eq!(parse("endpoint", good).map(|it| it.to_string()), Ok(good.to_owned()));
        }
        let remedy = "write it as in 127.0.0.1:9911 or [::1]:9911";
        for (text, problem) in [
            ("127.0.0.1", "is no IP address with a port: "),
            ("localhost:9911", "is no IP address with a port: "),
            ("9911", "is no IP address with a port: "),
            ("", "is no IP address with a port: "),
            ("127.0.0.1:70000", "is no IP address with a port: "),
            ("127.0.0.1:0", "names no port, which programs have to know: "),
        ] {
            let told = format!("endpoint `{text}` {problem}{remedy}");
            assert_eq!(parse("endpoint", text), Err(told));
        }
        for text in ["0.0.0.0:9911", "10.0.0.1:9911", "169.254.170.2:80", "[::]:9911"] {
            let told = parse("endpoint", text).unwrap_err();
            assert!(told.contains("keys would go over a network in clear"), "{told}");
        }
        assert!(parse("endpoint", "[::ffff:127.0.0.1]:9911").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse("k", &text);
        }
    }
}
