//! Sessions over time. Knows nothing of the AWS SDK, of file formats and of FUSE.
//!
//! 1. There is one session per role chain, however many readers and mounts use it.
//! 2. A session is renewed in the background around half of the lifetime received, spread by
//!    jitter.
//! 3. An open gets a session above its floor at once. Below the floor it waits for a renewal.
//! 4. One flight per chain: all who wait share its session, or its failure.
//! 5. A failure is remembered until its retry, which happens in the background. No open waits for
//!    a role known to be failing; it serves what is still valid, else the failure.
//! 6. A reader's deadline ends its wait, not the flight; the role then counts as failing.
//! 7. A session still valid is served although its renewal fails; an expired one never is.
//! 8. Expirations are judged by the wall clock, which is read again at least every 30 s.
//! 9. At most so many AssumeRole calls are made in any second ([`pace`]), in the order asked; those
//!    that somebody waits for go first. A turn that is waited for takes no time from the call.
//! 10. A flight makes up to three calls where that may help those who wait. When STS says how long
//!     not to ask, it is not asked, within bounds ([`schedule`]).
//! 11. The hops of a role chain have sessions of their own, shared by the roles behind them. So has
//!     a session with MFA at its start; where a person has to give the code, it is renewed as late
//!     as is safe, and without a code AWS is not asked.
//! 12. All of this holds for whatever perishes and can be had again ([`Sought`]): tokens too.

#![forbid(unsafe_code)]

mod cache;
mod call;
mod error;
mod flight;
mod keeper;
pub mod pace;
mod place;
mod port;
pub mod schedule;
mod slot;
mod sought;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod words;

pub use cache::{Broker, CLOCK_CHECK};
pub use call::{CallKind, FailedCall, GivenKey, ObserveCalls, Observers, SessionCall};
pub use error::{Cause, RetryClass, SessionError};
pub use keeper::Keeper;
pub use place::Place;
pub use port::{BoxFuture, MfaCodes, NoMfaCodes, NoTokens, SessionSource, TokenGiver};
pub use slot::{Failure, Serving, Slot, SlotStatus};
pub use sought::{Flight, Sought};
