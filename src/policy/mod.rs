//! Who may read which roles. Pure: a caller's facts come in, a decision goes out. Must not read
//! `/proc`, the clock or the configuration.

#![forbid(unsafe_code)]

mod rule;

pub use rule::AllowRule;
