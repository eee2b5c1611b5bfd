//! Who logs in where, and the tokens of other services that follow from it.

pub(in crate::config) mod catalog;
pub(in crate::config) mod tokens;
