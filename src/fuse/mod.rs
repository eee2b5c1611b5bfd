//! Adapter to the kernel's FUSE. The only module that names fuser.

mod adapter;
mod cache_fs;
mod caches;
mod errno;
mod key_file;
mod locate;
pub mod mount;
mod owner;
mod session;
mod writable;
#[cfg(test)]
mod writable_tests;

pub use locate::OwnMount;
pub use session::{Mounted, Shape};
