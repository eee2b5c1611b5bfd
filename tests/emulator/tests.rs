//! Tests of the STS emulator, with the AWS SDK as its client where the SDK can be made to send
//! what is needed, and plain HTTP elsewhere.

#![allow(clippy::expect_used, reason = "the helpers of tests fail as tests do")]

#[path = "mod.rs"]
mod emulator;

#[path = "tests/attributes.rs"]
mod attributes;
#[path = "tests/control.rs"]
mod control;
#[path = "tests/faults.rs"]
mod faults;
#[path = "tests/identity.rs"]
mod identity;
#[path = "tests/issuer.rs"]
mod issuer;
#[path = "tests/mfa.rs"]
mod mfa;
#[path = "tests/rules.rs"]
mod rules;
#[path = "tests/signatures.rs"]
mod signatures;
#[path = "tests/sources.rs"]
mod sources;
#[path = "tests/sso.rs"]
mod sso;
#[path = "tests/support.rs"]
mod support;
