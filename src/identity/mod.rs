//! Logins at issuers of `OpenID` Connect tokens: the device authorization grant (RFC 8628) over
//! time, and the tokens it gives. Knows neither HTTP nor JSON, and not how a person is told.
//!
//! 1. There is one login per identity, whoever uses it. It is in memory only, unless it is to be
//!    kept ([`KeepLogins`]): then what is kept is what is held, at each moment.
//! 2. A login under way is joined, not begun again: its code is the one that a person may be typing.
//! 3. The issuer is asked no faster than it says; slower for good after each `slow_down`, and ever
//!    more slowly while it cannot be reached.
//! 4. An access token that is about to end is renewed by the refresh token, if there is one, by one
//!    call at a time, whose outcome is that of all who wait. Nobody who gives up ends it: a refresh
//!    token may be good only once, and then the answer is all there is.
//! 5. A login that the issuer no longer accepts is forgotten: until the next one nobody is asked.
//!    An issuer that cannot be reached ends no login.
//! 6. Key pairs for ssh are made here and never leave the process but in their files: issuers are sent
//!    the public half.

#![forbid(unsafe_code)]

mod entry;
mod giver;
#[cfg(test)]
mod giver_tests;
mod grant;
mod kept;
#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod login_tests;
mod logins;
mod port;
#[cfg(test)]
mod renewal_tests;
mod ssh_keys;
#[cfg(test)]
mod testing;

pub use grant::{LoginEnd, Next, Polling};
pub use kept::{KeepLogins, KeptLogin, NotKept};
pub use logins::{Login, Logins, TokenError};
pub use port::{
    DeviceGrant, GivenCertificate, GivenToken, IdToken, Issuer, IssuerError, LoginPrompt,
    PollAnswer, Tokens,
};
