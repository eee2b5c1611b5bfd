//! What many daemons together do to STS, simulated in virtual time with the decisions of the real
//! thing: [`Slot`], [`schedule`](crate::broker::schedule) and [`Pace`]. Nothing here sleeps. The
//! daemons know nothing of one another, so they can be run one after the other.

#![expect(clippy::print_stdout, reason = "figures for README, shown by --no-capture")]

use std::num::NonZeroU8;
use std::ops::Range;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::broker::pace::{DEFAULT_CALLS_PER_SECOND, Pace, Place, Turn};
use crate::broker::schedule::{Jitter, pause_in_flight};
use crate::broker::{Cause, SessionError, Slot};
use crate::model::{Secret, StsSession};

const ROLES: usize = 5;
const DAY: Duration = Duration::from_hours(24);
const LIFETIME: Duration = Duration::from_hours(1);
const LATENCY: Duration = Duration::from_millis(200);

/// What is wrong with STS, and when.
#[derive(Debug, Clone)]
struct Outage {
    during: Range<Duration>,
    cause: Cause,
    /// Whether answers tell when to come back.
    retry_after: Option<Duration>,
}

/// One role of a daemon.
struct Role {
    slot: Slot,
    /// When it acts next.
    at: Duration,
    /// The attempts that its flight has made; 0 while none is under way.
    attempts: u32,
    /// Its place in the queue, if it waits for its turn.
    place: Option<Place>,
}

/// A daemon with all its roles. The first sessions are waited for, all others are not.
struct Daemon<'a> {
    roles: Vec<Role>,
    pace: Pace,
    random: fastrand::Rng,
    outage: Option<&'a Outage>,
    /// Its calls, in order.
    calls: Vec<Duration>,
}

fn wall(at: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY + at
}

impl<'a> Daemon<'a> {
    fn new(seed: u64, outage: Option<&'a Outage>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let start = Duration::from_millis(random.u64(..1000));
        let role = || Role { slot: Slot::default(), at: start, attempts: 0, place: None };
        Self {
            roles: std::iter::repeat_with(role).take(ROLES).collect(),
            pace: Pace::new(DEFAULT_CALLS_PER_SECOND),
            random,
            outage,
            calls: Vec::with_capacity(300),
        }
    }

    fn run(mut self, end: Duration) -> Vec<Duration> {
        loop {
            let next = (0..ROLES).min_by_key(|role| self.roles[*role].at).unwrap();
            if self.roles[next].at >= end {
                return self.calls;
            }
            self.step(next);
        }
    }

    fn step(&mut self, index: usize) {
        let role = &mut self.roles[index];
        let now = role.at;
        if role.attempts == 0 && role.place.is_none() {
            assert!(role.slot.is_due(wall(now)) && role.slot.start());
        }
        let place = role.place.unwrap_or_else(|| {
            let urgent = role.slot.valid(wall(now)).is_none();
            self.pace.join(urgent)
        });
        role.place = Some(place);
        match self.pace.turn(place, now) {
            Turn::Now => {
                self.calls.push(now);
                role.place = None;
                self.answer(index, now + LATENCY);
            }
            Turn::NotBefore(at) => role.at = at,
            Turn::Behind => role.at = now + Duration::from_millis(10),
        }
    }

    fn answer(&mut self, index: usize, now: Duration) {
        let jitter = Jitter::new(self.random.f64());
        let role = &mut self.roles[index];
        role.attempts += 1;
        let served = role.slot.valid(wall(now)).is_some();
        let outcome = match self.outage.filter(|outage| outage.during.contains(&now)) {
            None => Ok(session(now)),
            Some(outage) => {
                let error = SessionError::new("", outage.cause, "");
                let error = error.with_retry_after(outage.retry_after);
                if let Some(pause) = pause_in_flight(&error, role.attempts, !served, jitter) {
                    role.at = now + pause;
                    return;
                }
                Err(error)
            }
        };
        let first = now < Duration::from_mins(1);
        assert!(served || first, "keys expired before there were new ones, at {now:?}");
        role.slot.finish(outcome, None, wall(now), jitter);
        role.attempts = 0;
        let due_at = role.slot.due_at().unwrap();
        role.at = due_at.duration_since(wall(Duration::ZERO)).unwrap().max(now);
    }
}

/// Without texts: the time of the simulation would go into copying them.
fn session(issued: Duration) -> StsSession {
    StsSession {
        access_key_id: String::new(),
        secret_access_key: Secret::new(""),
        session_token: None,
        account_id: None,
        issued: wall(issued),
        expiration: wall(issued + LIFETIME),
    }
}

/// The calls that STS gets in each second.
struct Load {
    daemons: u64,
    seconds: Vec<u32>,
}

impl Load {
    /// So many daemons, all started in the first second.
    fn of_a_fleet(daemons: u64, length: Duration, outage: Option<&Outage>) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let run = |from: usize| {
            let mut seconds = vec![0; second(length)];
            for seed in (0..daemons).skip(from).step_by(threads) {
                let calls = Daemon::new(seed, outage).run(length);
                assert_paced(&calls, DEFAULT_CALLS_PER_SECOND);
                for call in calls {
                    seconds[second(call)] += 1;
                }
            }
            seconds
        };
        let parts: Vec<Vec<u32>> = thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = (0..threads).map(|from| scope.spawn(move || run(from))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let sum = |second: usize| parts.iter().map(|part| part[second]).sum();
        Self { daemons, seconds: (0..second(length)).map(sum).collect() }
    }

    /// Two calls in an hour for each role, as calls a second.
    fn expected(&self) -> f64 {
        let daemons = u32::try_from(self.daemons).unwrap();
        f64::from(daemons * u32::try_from(ROLES).unwrap() * 2) / 3600.0
    }

    fn of(&self, during: &Range<Duration>) -> &[u32] {
        &self.seconds[second(during.start)..second(during.end)]
    }

    /// Calls a second.
    fn mean(&self, during: &Range<Duration>) -> f64 {
        let calls: u32 = self.of(during).iter().sum();
        f64::from(calls) / (during.end.as_secs_f64() - during.start.as_secs_f64())
    }

    /// Calls in the busiest second.
    fn peak(&self, during: &Range<Duration>) -> f64 {
        f64::from(*self.of(during).iter().max().unwrap())
    }

    /// Calls a second in the busiest minute.
    fn peak_minute(&self, during: &Range<Duration>) -> f64 {
        let minute = |minute: &[u32]| f64::from(minute.iter().sum::<u32>()) / 60.0;
        self.of(during).chunks_exact(60).map(minute).fold(0.0, f64::max)
    }

    fn print(&self, what: &str, during: &Range<Duration>) {
        println!(
            "{what:50} mean {:6.1}  busiest minute {:6.1}  busiest second {:6.0}  calls/s",
            self.mean(during),
            self.peak_minute(during),
            self.peak(during)
        );
    }
}

fn second(at: Duration) -> usize {
    usize::try_from(at.as_secs()).unwrap()
}

/// No more than `limit` of `calls` are in any second.
fn assert_paced(calls: &[Duration], limit: NonZeroU8) {
    let limit = usize::from(limit.get());
    let crowded = calls.windows(limit + 1).find(|it| it[limit] < it[0] + Duration::from_secs(1));
    assert_eq!(crowded, None);
}

fn minutes(range: Range<u64>) -> Range<Duration> {
    Duration::from_mins(range.start)..Duration::from_mins(range.end)
}

/// From noon on. A session that is renewed as late as can be has 21 min left.
fn outage(cause: Cause, retry_after: Option<Duration>) -> Outage {
    Outage { during: minutes(720..740), cause, retry_after }
}

#[test]
fn ten_thousand_daemons_spread_over_a_day_and_after_an_outage_there_is_no_herd() {
    let outage = outage(Cause::ServiceUnavailable, None);
    let load = Load::of_a_fleet(10_000, DAY, Some(&outage));
    let (start, morning, day) = (minutes(0..1), minutes(1..180), minutes(180..720));
    let (after, evening) = (minutes(740..800), minutes(860..1440));
    println!("10,000 daemons x 5 roles of 1 h, all started in the same second:");
    load.print("  the first minute", &start);
    load.print("  up to 3 h", &morning);
    load.print("  3 h to 12 h", &day);
    println!("then STS answers 503 for 20 min:");
    load.print("  meanwhile", &outage.during);
    load.print("  the hour after", &after);
    load.print("  2 h after it up to 24 h", &evening);

    let mean = load.expected();
    for quiet in [&day, &evening] {
        assert!((load.mean(quiet) / mean - 1.0).abs() < 0.15);
        assert!(load.peak_minute(quiet) < 1.5 * mean);
        assert!(load.peak(quiet) < 2.5 * mean);
    }
    assert!(load.peak_minute(&morning) < 2.0 * mean, "they were started together");
    assert!(load.mean(&outage.during) < 3.0 * mean);
    assert!(load.peak_minute(&after) < 4.0 * mean);
    assert!(load.peak(&after) < 5.5 * mean);
}

#[test]
fn other_kinds_of_outage_end_without_a_herd_either() {
    for (cause, retry_after) in [
        (Cause::Throttled, None),
        (Cause::Throttled, Some(Duration::from_secs(30))),
        (Cause::Network, None),
    ] {
        let outage = outage(cause, retry_after);
        let after = minutes(740..800);
        let load = Load::of_a_fleet(1000, Duration::from_hours(14), Some(&outage));
        println!("1,000 daemons x 5 roles of 1 h, {cause:?} for 20 min, {retry_after:?}:");
        load.print("  meanwhile", &outage.during);
        load.print("  the hour after", &after);
        assert!(load.peak_minute(&after) < 6.0 * load.expected());
    }
}
