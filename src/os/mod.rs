//! Adapter to Linux: `/proc`, callers, process limits, well-known directories.

pub mod descriptors;
pub mod hardening;
pub mod keyring;
pub mod manager;
pub mod mountinfo;
pub mod orphans;
pub mod paths;
pub mod process;
pub mod signals;
pub mod sockets;
