//! Identities other than keys: tokens of issuers, and logins.

mod login;
mod ssh;
mod tokens;
mod web_identity;
