//! Identities other than keys: tokens of issuers, and logins.

mod login;
mod web_identity;
