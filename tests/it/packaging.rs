//! Installing, upgrading and removing credmount, by the scripts and by the Debian package, for real:
//! into homes and machines of the tests' own.

mod debian;
mod host;
mod places;
mod running;
mod scripts;
