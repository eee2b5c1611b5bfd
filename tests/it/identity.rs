//! Identities other than keys: tokens of issuers, and logins.

mod web_identity;
