//! Adapter to the kernel's FUSE. The only module that names fuser.

mod adapter;
mod cache_fs;
mod caches;
mod errno;
#[cfg_attr(not(test), expect(dead_code, reason = "no mount is served with it yet"))]
mod key_file;
mod locate;
pub mod mount;
mod owner;
mod session;
#[cfg_attr(not(test), expect(dead_code, reason = "no mount is served with it yet"))]
mod writable;
#[cfg(test)]
mod writable_tests;

pub use locate::OwnMount;
pub use session::Mounted;
