//! What is done to the daemon and to STS, drawn from a seed.

use std::fmt;
use std::time::Duration;

use rustix::process::Signal;

use crate::emulator::{Emulator, Fault};

/// Something that ends a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// A signal that it cannot heed.
    Signal(Signal),
    /// SIGKILL, and once more for the next one before it serves.
    KillTwice,
    /// `credmount restart`.
    Restart,
    /// Another version in the place of the program, then `credmount restart`.
    Upgrade,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(Signal::KILL) => f.write_str("SIGKILL"),
            Self::Signal(Signal::SEGV) => f.write_str("SIGSEGV"),
            Self::Signal(Signal::STOP) => f.write_str("SIGSTOP"),
            Self::Signal(signal) => write!(f, "{signal:?}"),
            Self::KillTwice => f.write_str("SIGKILL twice"),
            Self::Restart => f.write_str("a restart"),
            Self::Upgrade => f.write_str("an upgrade"),
        }
    }
}

/// How STS behaves until the next blow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weather(Vec<(Fault, u32)>);

impl Weather {
    /// Replaces the faults of the emulator. Only AssumeRole meets them: readers have to be told
    /// whether their keys are right.
    pub(crate) fn set(&self, emulator: &Emulator) {
        emulator.clear_faults();
        for (fault, times) in &self.0 {
            emulator.set_fault(fault.clone().for_action("AssumeRole").times(*times));
        }
    }
}

/// One turn: STS changes, time passes, the blow falls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) weather: Weather,
    pub(crate) pause: Duration,
    pub(crate) blow: Blow,
}

/// Turns without end.
#[derive(Debug)]
pub(crate) struct Blows {
    random: fastrand::Rng,
    crashes_in_a_row: u32,
    first: Vec<Blow>,
}

impl Blows {
    /// The turns of a seed. Each kind of blow is among the first turns.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut first = vec![Blow::Upgrade, Blow::Restart, KILL, SEGV, Blow::KillTwice];
        random.shuffle(&mut first);
        // It takes the time of the watchdog, so it comes last in a short run.
        first.insert(0, STOP);
        Self { random, crashes_in_a_row: 0, first }
    }

    fn blow(&mut self) -> Blow {
        if let Some(blow) = self.first.pop() {
            return blow;
        }
        let asked = [Blow::Restart, Blow::Upgrade];
        let crashes = [KILL, KILL, SEGV, SEGV, Blow::KillTwice, STOP];
        // What crashes over and over is started more and more slowly, as it has to be.
        let only_asked = self.crashes_in_a_row >= MOST_CRASHES_IN_A_ROW;
        let kinds = if only_asked { asked.to_vec() } else { [&asked[..], &crashes].concat() };
        kinds[self.random.usize(..kinds.len())]
    }

    fn weather(&mut self) -> Weather {
        let random = &mut self.random;
        let mut faults = Vec::new();
        for _ in 0..random.usize(..=3).saturating_sub(1) {
            let fault = match random.u8(..10) {
                0 => Fault::Throttle,
                1 => Fault::ThrottleRetryAfter { seconds: 1 },
                2 => Fault::ServerError { status: 503 },
                3 => Fault::Hang,
                4 => Fault::Slow { delay_ms: random.u64(10..1500) },
                5 => Fault::DropConnection,
                6 => Fault::DropMidAnswer,
                7 => Fault::MalformedXml,
                8 => Fault::TruncatedXml,
                _ => Fault::ExpiredSession,
            };
            faults.push((fault, random.u32(1..=3)));
        }
        Weather(faults)
    }
}

impl Iterator for Blows {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let weather = self.weather();
        let pause = Duration::from_millis(self.random.u64(..2500));
        let blow = self.blow();
        match blow {
            Blow::Signal(_) => self.crashes_in_a_row += 1,
            Blow::KillTwice => self.crashes_in_a_row += 2,
            Blow::Restart | Blow::Upgrade => self.crashes_in_a_row = 0,
        }
        Some(Step { weather, pause, blow })
    }
}

const KILL: Blow = Blow::Signal(Signal::KILL);
const SEGV: Blow = Blow::Signal(Signal::SEGV);
const STOP: Blow = Blow::Signal(Signal::STOP);

const MOST_CRASHES_IN_A_ROW: u32 = 4;

#[test]
fn a_seed_gives_the_same_blows_again() {
    let steps = |seed| Blows::of(seed).take(50).collect::<Vec<_>>();
    assert_eq!(steps(7), steps(7));
    assert_ne!(steps(7), steps(8));
    for blow in [KILL, SEGV, STOP, Blow::KillTwice, Blow::Restart, Blow::Upgrade] {
        assert!(steps(7)[..6].iter().any(|step| step.blow == blow), "{blow}");
    }
}
