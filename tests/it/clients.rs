//! Real AWS clients in front of a real mount: each asks the STS emulator who it is, and the
//! emulator verifies the signature.

mod endpoint;
mod failing;
mod identity;
mod long_running;
pub(crate) mod rig;
