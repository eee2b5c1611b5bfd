//! All integration tests in one binary, because each binary links the AWS SDK again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking, and documents itself by its name"
)]

#[path = "../emulator/mod.rs"]
mod emulator;
mod support;

mod architecture;
mod cli;
mod clients;
mod failing;
mod faults;
mod leaks;
mod namespaces;
mod rotation;
mod semantics;
