//! All integration tests in one binary, because each binary links the AWS SDK again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking, documents itself by its name, and tells what it measured"
)]

#[path = "../emulator/mod.rs"]
mod emulator;
mod support;

mod architecture;
mod audit;
mod caches;
mod chaos;
mod cli;
mod clients;
mod containers;
mod endpoint;
mod failing;
mod faults;
mod fleet;
mod handles;
mod identity;
mod kept;
mod leaks;
mod load;
mod mfa;
mod namespaces;
mod packaging;
mod readers;
mod requirements;
mod rotation;
mod semantics;
mod sources;
mod sso;
mod survive;
mod systemd;
