//! Tests of the whole: the daemon as a process, real mounts, real clients.

#![allow(clippy::expect_used, reason = "the helpers of tests fail as tests do")]

mod clients;
#[path = "../emulator/mod.rs"]
mod emulator;
