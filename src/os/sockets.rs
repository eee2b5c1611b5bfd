//! `/proc/net/tcp` and `tcp6` (proc(5)): whose socket it is at the other end of a connection.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The user whose socket is connected from `from` to `to`, both in the network namespace of this
/// process; as this user namespace counts. Root's, and that of the kernel, is 0. May block.
pub fn uid_of(from: SocketAddr, to: SocketAddr) -> Option<u32> {
    // A program that speaks IPv6 may use it for addresses of IPv4 too.
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .find_map(|table| owner(&fs::read_to_string(table).ok()?, from, to))
}

/// The user in the line of a table that is about this connection.
fn owner(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let (from, to) = (canonical(from), canonical(to));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_it = address(fields.next()?)? == from && address(fields.next()?)? == to;
        is_it.then(|| fields.nth(4)?.parse().ok()).flatten()
    })
}

/// `0100007F:1F90`: words of 32 bits as they stand in memory, each as a number in hexadecimal.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => IpAddr::from(word(address)?),
        32 => {
            let mut bytes = [0; 16];
            for (place, text) in bytes.chunks_exact_mut(4).zip(address.as_bytes().chunks(8)) {
                place.copy_from_slice(&word(std::str::from_utf8(text).ok()?)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_found_in_either_family() {
        let own = rustix::process::geteuid().as_raw();
        for (listen, connect) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "[::1]"),
            ("127.0.0.1:0", "[::ffff:127.0.0.1]"),
        ] {
            let Ok(listener) = TcpListener::bind(listen) else { continue };
            let to = listener.local_addr().unwrap();
            let stream = TcpStream::connect(format!("{connect}:{}", to.port())).unwrap();
            let (_accepted, from) = listener.accept().unwrap();
            assert_eq!(uid_of(from, to), Some(own), "{listen}");
            drop(stream);
            let nobody = SocketAddr::new(from.ip(), 1);
            assert_eq!(uid_of(nobody, to), None);
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_line_of_the_asker_is_told_from_that_of_the_endpoint() {
        let line = |from: &str, to: &str, uid: u32| {
            format!(
                "   1: {from} {to} 01 00000000:00000000 00:00000000 00000000  {uid}        0 7 1\n"
            )
        };
        let (endpoint, asker) = ("0100007F:26B7", "0100007F:9DD4");
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";
        let table = [head.to_owned(), line(endpoint, asker, 7), line(asker, endpoint, 1001)];
        let (from, to) = ("127.0.0.1:40404".parse().unwrap(), "127.0.0.1:9911".parse().unwrap());
        assert_eq!(owner(&table.concat(), from, to), Some(1001));
        assert_eq!(owner(&table[..2].concat(), from, to), None);
        let mapped = "0000000000000000FFFF00000100007F:9DD4";
        assert_eq!(address(mapped), Some((from.ip(), 40404)));
    }

    proptest! {
        #[test]
        fn no_table_panics(table in ".*") {
            let at = "127.0.0.1:1".parse().unwrap();
            prop_assert_eq!(owner(&table, at, at), None);
            let _ = address(&table);
        }
    }
}
