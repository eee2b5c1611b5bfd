//! The adapter to AWS: base credentials, AssumeRole, GetCallerIdentity. The only module that
//! names `aws_*` crates. It keeps no session and knows neither FUSE nor files to render.

#![forbid(unsafe_code)]

mod assume;
mod base;
mod calls;
mod classify;
mod client;
mod detail;
mod http;
mod http_date;
mod mfa;
mod oidc;
mod process;
mod retry_after;
mod session_name;
mod sso;
mod timed;
mod token;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod observer_tests;

pub use client::{StsClient, StsOptions};
pub use oidc::OidcClient;
pub use session_name::session_name;
pub use sso::{DeviceCodes, IdentityCenter, MountAbove, Polled, SignIns, SsoSession};
