#![doc = include_str!("ARCHITECTURE.md")]

pub mod broker;
pub mod check;
pub mod clock;
pub mod model;
pub mod sts;
