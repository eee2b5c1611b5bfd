//! Identities other than keys: tokens of issuers, and logins.

pub(crate) mod login;
mod ssh;
mod tokens;
mod web_identity;
