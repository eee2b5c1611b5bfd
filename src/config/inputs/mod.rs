//! Where configuration stands: credmount's own file, variables that hold roles, and the paths of all
//! files.

pub(in crate::config) mod environment;
pub(in crate::config) mod file;
mod locations;

pub use self::locations::Locations;
