//! What the fuzz targets share: how they ask for settings, answers over HTTP, a clock that stands still, keys that can
//! be recognised, a reader of INI, and a mount with the kernel's side of it.

pub mod answer;
pub mod ini;
pub mod kernel;
pub mod mount;
pub mod settings;

use std::time::{Duration, SystemTime};

use credmount::clock::{Clock, Machine, Reading};
use credmount::model::{Secret, StsSession};

/// Found in a message, it proves that a secret has leaked.
pub const PLANTED: &str = "PlantedSecret/wJalrXUtnFEMI";

/// Whether an input already holds [`PLANTED`], as libFuzzer writes what it sees compared. It would
/// prove nothing.
pub fn is_spoilt(input: &[u8]) -> bool {
    input.windows(PLANTED.len()).any(|bytes| bytes == PLANTED.as_bytes())
}

/// A clock that stands still, so that an input does the same whenever it is tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> SystemTime {
        noon()
    }
}

impl Machine for StoppedClock {
    fn read(&self) -> Reading {
        Reading { wall: noon(), boot: Duration::from_hours(1) }
    }
}

/// 2026-11-22T12:00:00Z.
pub fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(498_708)
}

/// A session whose secrets are [`PLANTED`], for an hour from [`noon`].
pub fn session() -> StsSession {
    StsSession {
        access_key_id: "ASIAEXAMPLE".to_owned(),
        secret_access_key: Secret::new(PLANTED),
        session_token: Some(Secret::new(format!("{PLANTED}/token"))),
        account_id: None,
        issued: noon(),
        expiration: noon() + Duration::from_hours(1),
    }
}

/// Whether a text can be shown as one line: no control character steers a terminal.
pub fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}
