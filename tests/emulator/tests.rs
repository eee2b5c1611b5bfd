//! Tests of the STS emulator with the AWS SDK as its client.

#[path = "mod.rs"]
mod emulator;
