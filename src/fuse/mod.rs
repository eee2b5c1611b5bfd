//! Adapter to the kernel's FUSE. The only module that names fuser.

mod adapter;
mod errno;
mod locate;
pub mod mount;
mod session;

pub use locate::OwnMount;
pub use session::Mounted;
