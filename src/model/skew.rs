//! How far a clock is from that of AWS.

use std::fmt;
use std::time::{Duration, SystemTime};

/// How far the clock of this machine is from that of AWS. Shown as `10 min behind AWS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSkew(i64);

impl ClockSkew {
    /// From here on it is worth a word: AWS refuses signatures from 5 minutes on.
    pub const NOTABLE_SECONDS: i64 = 240;

    /// A difference in seconds; positive if this machine is ahead.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The difference between the clock of this machine and that of AWS at one moment.
    pub fn between(machine: SystemTime, aws: SystemTime) -> Self {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self(match machine.duration_since(aws) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        })
    }

    /// In seconds; positive if this machine is ahead.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// The time of AWS when the clock of this machine says `machine`; `machine` itself where that
    /// is no instant.
    pub fn corrected(self, machine: SystemTime) -> SystemTime {
        let by = Duration::from_secs(self.0.unsigned_abs());
        let moved = if self.0 < 0 { machine.checked_add(by) } else { machine.checked_sub(by) };
        moved.unwrap_or(machine)
    }

    /// Whether it is worth a word.
    pub fn is_notable(self) -> bool {
        self.0.unsigned_abs() >= Self::NOTABLE_SECONDS.unsigned_abs()
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.unsigned_abs();
        match (seconds + 30) / 60 {
            0 => write!(f, "{seconds} s")?,
            minutes @ 1..120 => write!(f, "{minutes} min")?,
            minutes if minutes % 60 == 0 => write!(f, "{} h", minutes / 60)?,
            minutes => write!(f, "{} h {} min", minutes / 60, minutes % 60)?,
        }
        f.write_str(if self.0 < 0 { " behind AWS" } else { " ahead of AWS" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_with_size_and_direction() {
        for (seconds, text) in [
            (-600, "10 min behind AWS"),
            (598, "10 min ahead of AWS"),
            (37 * 3600, "37 h ahead of AWS"),
            (-(2 * 3600 + 1800), "2 h 30 min behind AWS"),
            (12, "12 s ahead of AWS"),
        ] {
            assert_eq!(ClockSkew::from_seconds(seconds).to_string(), text);
        }
    }

    #[test]
    fn a_skew_takes_from_the_time_of_the_machine_to_that_of_aws() {
        let aws = SystemTime::UNIX_EPOCH + Duration::from_hours(50);
        for machine in [aws + Duration::from_mins(10), aws - Duration::from_hours(37), aws] {
            assert_eq!(ClockSkew::between(machine, aws).corrected(machine), aws);
        }
    }

    #[test]
    fn four_minutes_are_worth_a_word_either_way() {
        for (seconds, notable) in [(239, false), (240, true), (-239, false), (-240, true)] {
            assert_eq!(ClockSkew::from_seconds(seconds).is_notable(), notable, "{seconds}");
        }
    }
}
