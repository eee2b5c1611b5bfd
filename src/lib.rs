#![doc = include_str!("ARCHITECTURE.md")]

pub mod broker;
pub mod clock;
pub mod model;
