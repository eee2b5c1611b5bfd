//! Sessions over time.

#![forbid(unsafe_code)]

pub mod error;
pub mod port;

pub use error::{Cause, RetryClass, SessionError};
pub use port::{BoxFuture, SessionSource};
