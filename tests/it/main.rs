//! All integration tests in one binary, because each binary links the AWS SDK again.

#[path = "../emulator/mod.rs"]
mod emulator;
mod support;

mod architecture;
mod cli;
mod failing;
mod faults;
mod leaks;
mod namespaces;
mod rotation;
mod semantics;
