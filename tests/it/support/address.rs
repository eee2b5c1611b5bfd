//! Addresses to listen on at a time that a test chooses.

use std::net::{Ipv4Addr, SocketAddr};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// An address where nobody listens, and nobody else will: whatever is bound without a name, as the
/// near end of every connection is, gets a port of 127.0.0.1. This is of a part of 127.0.0.0/8 that
/// this process has for itself.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    // A process id has 22 bits at most (proc(5), pid_max), and one above them leaves out 127.0.0.1.
    let [_, high, middle, low] = process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 0x80 | high, middle, low);
    (own, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}
