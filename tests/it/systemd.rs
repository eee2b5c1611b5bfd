//! credmount as a service under a real systemd: of a user, and of the machine.

mod container;
mod machine;
mod rig;

mod life;
mod system;
mod trouble;
mod units;
