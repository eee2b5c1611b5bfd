//! Adapter to the kernel's FUSE. The only module that names fuser.

mod adapter;
mod adopt;
mod cache_fs;
mod caches;
mod errno;
mod fusermount;
mod handshake;
mod key_file;
mod locate;
mod make;
pub mod mount;
mod owner;
mod session;
mod wire;
mod writable;
#[cfg(test)]
mod writable_tests;

pub use locate::OwnMount;
pub use make::{Connections, Shape};
pub use session::{Mounted, is_panic};
