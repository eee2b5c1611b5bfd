//! MFA codes: those that a person gave, and those that a program prints.
//!
//! 1. A code is given out once. One that AWS has not judged may come back, and is given out again.
//! 2. A code that a person gave is good for [`GIVEN_LIFETIME`]; it goes before those of programs,
//!    also while a program is about to print one.
//! 3. A program that prints a code which was given out already is run once more when the device
//!    shows the next one. Codes change every 30 s (RFC 6238).

mod command;
mod notify;
mod program;
mod prompt;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(super) use command::{ask_after_start, run};
pub(super) use notify::notify;

use crate::broker::{BoxFuture, Cause, MfaCodes, SessionError};
use crate::clock::Clock;
use crate::config::{MfaPrompt, Settings};
use crate::model::{MfaCode, MfaDevice, MfaSession};

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Codes {
    clock: Arc<dyn Clock>,
    prompt: Mutex<MfaPrompt>,
    notifies: AtomicBool,
    devices: Mutex<HashMap<MfaDevice, Device>>,
    /// Counts the codes that persons gave.
    arrivals: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Device {
    given: Option<Dated>,
    given_out: Option<Dated>,
}

/// A code, and when it came.
#[derive(Debug)]
struct Dated {
    code: MfaCode,
    at: Instant,
}

impl Codes {
    pub(super) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Arc<Self> {
        let codes = Self {
            clock,
            prompt: Mutex::default(),
            notifies: AtomicBool::default(),
            devices: Mutex::default(),
            arrivals: watch::Sender::new(0),
        };
        codes.configure(settings);
        Arc::new(codes)
    }

    /// From now on does as `settings` say.
    pub(super) fn configure(&self, settings: &Settings) {
        *self.prompt.lock() = settings.mfa_prompt;
        self.notifies.store(settings.notify, Ordering::Relaxed);
    }

    /// Whether the desktop is to be told when a code is needed.
    fn notifies(&self) -> bool {
        self.notifies.load(Ordering::Relaxed)
    }

    /// Asks whoever started the program for the codes that the roles need, once for each device, but
    /// for sessions that are `held` already. Without a terminal nobody is asked.
    pub(super) fn ask_on_terminal(&self, settings: &Settings, held: impl Fn(&MfaSession) -> bool) {
        if settings.mfa_prompt != MfaPrompt::Terminal || !prompt::is_possible() {
            return;
        }
        let sessions = settings.roles().filter_map(|role| role.chain.mfa());
        let mut asked: Vec<&MfaDevice> = Vec::new();
        for session in sessions.filter(|session| session.process.is_none()) {
            if asked.contains(&&session.device) {
                continue;
            }
            asked.push(&session.device);
            if held(session) {
                continue;
            }
            // A terminal that fails is one that nobody can answer on.
            if let Ok(Some(code)) = prompt::ask(&session.device) {
                self.give(&session.device, code);
            }
        }
    }

    /// Takes a code from a person. Returns false if it is known to be used up.
    pub(super) fn give(&self, device: &MfaDevice, code: MfaCode) -> bool {
        {
            let mut devices = self.devices.lock();
            let known = devices.entry(device.clone()).or_default();
            if known.given_out.as_ref().is_some_and(|used| used.code == code) {
                return false;
            }
            known.given = Some(Dated { code, at: Instant::now() });
        }
        self.arrivals.send_modify(|count| *count += 1);
        true
    }

    /// Whether a code that a person gave waits for somebody who asks.
    pub(super) fn holds(&self, device: &MfaDevice) -> bool {
        self.devices.lock().get(device).is_some_and(|known| known.given.is_some())
    }

    /// Forgets a code that a person gave and nobody asked for.
    pub(super) fn forget(&self, device: &MfaDevice) {
        self.devices.lock().entry(device.clone()).or_default().given = None;
    }

    /// Gives out what a person gave.
    fn take(&self, device: &MfaDevice) -> Option<MfaCode> {
        let mut devices = self.devices.lock();
        let known = devices.get_mut(device)?;
        let dated = known.given.take().filter(|given| given.at.elapsed() < GIVEN_LIFETIME)?;
        let code = dated.code.clone();
        known.given_out = Some(dated);
        Some(code)
    }

    /// Gives out what a program printed, unless it was given out before.
    fn claim(&self, device: &MfaDevice, code: &MfaCode) -> bool {
        let mut devices = self.devices.lock();
        let known = devices.entry(device.clone()).or_default();
        if known.given_out.as_ref().is_some_and(|used| used.code == *code) {
            return false;
        }
        known.given_out = Some(Dated { code: code.clone(), at: Instant::now() });
        true
    }

    async fn ask(&self, session: &MfaSession) -> Result<MfaCode, SessionError> {
        let mut arrivals = self.arrivals.subscribe();
        let given = async {
            loop {
                if let Some(code) = self.take(&session.device) {
                    return Ok(code);
                }
                // The sender lives as long as `self`.
                let _ = arrivals.changed().await;
            }
        };
        let prompt = *self.prompt.lock();
        tokio::select! {
            biased;
            code = given => code,
            code = self.by_program(session, prompt) => code,
        }
    }

    async fn by_program(
        &self,
        session: &MfaSession,
        prompt: MfaPrompt,
    ) -> Result<MfaCode, SessionError> {
        let fail = |cause, detail: &str| SessionError::new(session.subject(), cause, detail);
        let device = &session.device;
        let Some(process) = &session.process else {
            if prompt != MfaPrompt::Systemd {
                return Err(fail(Cause::MfaCodeNeeded, ""));
            }
            let asked = program::code(systemd_ask_password(device), ASK_DEADLINE).await;
            let code = asked.map_err(|problem| {
                fail(Cause::MfaCodeNeeded, &format!("systemd-ask-password: {problem}"))
            })?;
            return if self.claim(device, &code) {
                Ok(code)
            } else {
                Err(fail(Cause::MfaCodeRejected, USED))
            };
        };
        for is_last in [false, true] {
            let code = program::code(shell(process, device), PROCESS_DEADLINE).await;
            let code = code.map_err(|problem| fail(Cause::MfaProcessFailed, &problem))?;
            if self.claim(device, &code) {
                return Ok(code);
            }
            if !is_last {
                sleep(until_next_code(self.clock.now())).await;
            }
        }
        Err(fail(Cause::MfaProcessFailed, "it printed a code that was used already"))
    }
}

impl MfaCodes for Codes {
    fn code<'a>(&'a self, session: &'a MfaSession) -> BoxFuture<'a, Result<MfaCode, SessionError>> {
        Box::pin(self.ask(session))
    }

    fn unused(&self, session: &MfaSession, code: MfaCode) {
        if let Some(known) = self.devices.lock().get_mut(&session.device) {
            let given_out = known.given_out.take_if(|used| used.code == code);
            known.given = known.given.take().or(given_out);
        }
    }
}

/// A command line as `credential_process` has it: for the shell. It may need to know the device.
fn shell(process: &str, device: &MfaDevice) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", process]).env("MFA_SERIAL", device.as_str());
    command
}

/// systemd-ask-password(1): asks whoever answers such questions on this machine.
fn systemd_ask_password(device: &MfaDevice) -> Command {
    let mut command = Command::new("systemd-ask-password");
    let timeout = format!("--timeout={}", ASK_TIMEOUT.as_secs());
    let question = format!("MFA code of {device}:");
    command.args([&timeout, "--no-tty", "--id=credmount-mfa", &question]);
    command
}

/// How long after `now` the device shows another code, whose clock may be a little behind.
fn until_next_code(now: SystemTime) -> Duration {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let into =
        Duration::from_nanos(u64::try_from(since.as_nanos() % PERIOD.as_nanos()).unwrap_or(0));
    PERIOD.saturating_sub(into) + Duration::from_millis(500)
}

/// What is said of a code that is known to be used up.
pub(super) const USED: &str = "it was used already; wait for the next one";

/// How long one code is shown (RFC 6238 recommends 30 s, and AWS uses it).
const PERIOD: Duration = Duration::from_secs(30);

/// AWS takes a code for some time after the device has shown the next one.
const GIVEN_LIFETIME: Duration = Duration::from_mins(1);

/// How long a `mfa_process` may take: a person may have to touch a key.
const PROCESS_DEADLINE: Duration = Duration::from_secs(30);

/// How long systemd-ask-password waits for an answer, and we for it.
const ASK_TIMEOUT: Duration = Duration::from_secs(45);
const ASK_DEADLINE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests;
