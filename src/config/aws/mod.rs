//! What is taken from the shared files of AWS tools, and what readers get of it in theirs.

pub(in crate::config) mod copied;
pub(in crate::config) mod include;
pub(in crate::config) mod profiles;
mod shared_file;
