//! Where the endpoint of a mount listens. An address is a mere value, so it is taken from `core::net`:
//! nothing here does any I/O.

use core::net::SocketAddr;

use crate::config::values::shown;

/// Where an endpoint listens. Its token and its keys go over the connection in clear, so it is the
/// loopback interface; AWS SDKs take no other address without TLS either (AWS SDKs and Tools
/// Reference Guide, "Container credential provider").
pub(in crate::config) fn parse(key: &str, text: &str) -> Result<SocketAddr, String> {
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
