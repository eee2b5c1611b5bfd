#![doc = include_str!("ARCHITECTURE.md")]

pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod model;
