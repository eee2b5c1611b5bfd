//! Adapter to Linux: `/proc`, process limits, well-known directories.

pub mod hardening;
pub mod mountinfo;
pub mod paths;
pub mod signals;
