#![doc = include_str!("ARCHITECTURE.md")]

pub mod app;
pub mod broker;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod fuse;
pub mod model;
pub mod open;
pub mod os;
pub mod publish;
pub mod render;
pub mod sts;
pub mod tree;
