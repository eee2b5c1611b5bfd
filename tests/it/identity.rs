//! Identities other than keys: tokens of issuers, and logins.

mod login;
mod tokens;
mod web_identity;
