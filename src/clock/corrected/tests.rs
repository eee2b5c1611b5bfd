//! Clocks that are wrong, put right and stopped, and dates that lie.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// A machine whose clocks are moved by hand.
#[derive(Debug)]
struct Bench(Mutex<Reading>);

impl Machine for Arc<Bench> {
    fn read(&self) -> Reading {
        *self.0.lock()
    }
}

/// A machine, the true time, and what is told of it.
struct Scene {
    machine: Arc<Bench>,
    clock: CorrectedClock,
    truth: SystemTime,
}

impl Scene {
    /// A machine whose clock is `seconds` ahead.
    fn ahead(seconds: i64) -> Self {
        let truth = SystemTime::UNIX_EPOCH + Duration::from_hours(498_698);
        let reading = Reading { wall: moved(truth, seconds), boot: Duration::from_hours(100) };
        let machine = Arc::new(Bench(Mutex::new(reading)));
        Self { clock: CorrectedClock::over(machine.clone()), machine, truth }
    }

    fn pass(&mut self, time: Duration) {
        self.truth += time;
        let mut reading = self.machine.0.lock();
        reading.wall += time;
        reading.boot += time;
    }

    /// The machine is stopped from outside, and no clock of it goes on.
    fn stop(&mut self, time: Duration) {
        self.truth += time;
    }

    fn set(&self, seconds: i64) {
        let mut reading = self.machine.0.lock();
        reading.wall = moved(reading.wall, seconds);
    }

    /// An answer of AWS to a call that is signed with the time of the corrected clock.
    fn answer(&mut self) -> Option<ClockSkew> {
        let (signed, sent) = (self.clock.now(), self.clock.read());
        let refused = apart(signed, self.truth) > Duration::from_mins(5);
        self.pass(Duration::from_millis(200));
        let date = self.truth;
        self.pass(Duration::from_millis(200));
        self.clock.hear(&DateHeard { date, signed, sent, refused })
    }

    /// The corrected clock is not behind the truth, and ahead by its precision at most.
    #[track_caller]
    fn is_right(&self) {
        let ahead = self.clock.now().duration_since(self.truth);
        assert!(ahead.is_ok_and(|it| it < Duration::from_millis(1500)), "{} s", self.off());
    }

    /// How far the corrected clock is ahead of the truth, in seconds.
    #[track_caller]
    fn off(&self) -> i64 {
        ClockSkew::between(self.clock.now(), self.truth).seconds()
    }
}

fn moved(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

const TEN_MINUTES: i64 = 600;
const DAYS: i64 = 37 * 3600;

#[test]
fn a_clock_that_is_wrong_is_corrected_by_the_first_answer_and_told_once() {
    for wrong in [TEN_MINUTES, -TEN_MINUTES, DAYS, -DAYS] {
        let mut scene = Scene::ahead(wrong);
        assert_eq!(scene.off(), wrong);
        let told = scene.answer().unwrap();
        assert!((told.seconds() - wrong).abs() <= 1, "{told}");
        scene.is_right();
        scene.pass(Duration::from_hours(1));
        assert_eq!(scene.answer(), None, "told twice");
        scene.is_right();
        let skew = scene.clock.skew().unwrap();
        assert!(skew.is_notable() && (skew.seconds() - wrong).abs() <= 1, "{skew}");
    }
}

#[test]
fn a_clock_that_is_right_is_left_alone() {
    for wrong in [0, 3, 230] {
        let mut scene = Scene::ahead(wrong);
        assert_eq!(scene.answer(), None);
        assert_eq!(scene.clock.now(), scene.machine.read().wall);
    }
}

#[test]
fn below_the_tolerance_no_session_outlives_its_end_either() {
    let mut scene = Scene::ahead(-200);
    assert_eq!(scene.answer(), None);
    scene.is_right();
}

#[test]
fn a_difference_that_aws_accepts_is_told_and_corrected_all_the_same() {
    let mut scene = Scene::ahead(-270);
    assert_eq!(scene.answer().unwrap().to_string(), "5 min behind AWS");
    scene.is_right();
}

#[test]
fn a_clock_that_is_put_right_is_believed_at_once_and_told_at_the_next_answer() {
    for wrong in [TEN_MINUTES, -TEN_MINUTES, DAYS, -DAYS] {
        let mut scene = Scene::ahead(wrong);
        scene.answer().unwrap();
        scene.pass(Duration::from_mins(10));
        scene.set(-wrong);
        scene.is_right();
        assert!(!scene.clock.skew().unwrap().is_notable());
        assert!(!scene.answer().unwrap().is_notable());
        assert_eq!(scene.answer(), None);
        scene.is_right();
    }
}

#[test]
fn a_clock_set_back_is_not_believed() {
    let mut scene = Scene::ahead(0);
    scene.answer();
    scene.set(-5 * 3600);
    scene.is_right();
    assert_eq!(scene.clock.skew().unwrap().to_string(), "5 h behind AWS");
    assert_eq!(scene.answer().unwrap().to_string(), "5 h behind AWS");
}

#[test]
fn a_clock_set_forward_wrongly_is_believed_until_the_next_answer() {
    let mut scene = Scene::ahead(0);
    scene.answer();
    scene.set(DAYS);
    assert_eq!(scene.off(), DAYS + 1);
    assert!(!scene.clock.is_sure());
    assert_eq!(scene.answer().unwrap().to_string(), "37 h ahead of AWS");
    assert!(scene.clock.is_sure());
    scene.is_right();
}

#[test]
fn a_virtual_machine_that_was_stopped_and_set_right_has_the_right_time() {
    for wrong in [0, TEN_MINUTES, -TEN_MINUTES] {
        let mut scene = Scene::ahead(wrong);
        scene.answer();
        scene.stop(Duration::from_hours(3));
        scene.set(3 * 3600);
        scene.is_right();
    }
}

#[test]
fn suspend_changes_nothing() {
    let mut scene = Scene::ahead(-DAYS);
    scene.answer();
    // CLOCK_BOOTTIME goes on meanwhile, and so does the clock of the machine.
    scene.pass(Duration::from_hours(3));
    scene.is_right();
}

#[test]
fn a_date_that_contradicts_a_signature_that_was_accepted_is_not_believed() {
    let scene = Scene::ahead(0);
    let (signed, sent) = (scene.truth, scene.clock.read());
    for lie in [-DAYS, DAYS, TEN_MINUTES] {
        let date = moved(scene.truth, lie);
        assert_eq!(scene.clock.hear(&DateHeard { date, signed, sent, refused: false }), None);
        assert_eq!((scene.off(), scene.clock.skew()), (0, None));
    }
}

#[test]
fn a_correction_that_aws_refuses_is_dropped() {
    let scene = Scene::ahead(-TEN_MINUTES);
    let lie = moved(scene.truth, DAYS);
    let mut heard =
        DateHeard { date: lie, signed: scene.clock.now(), sent: scene.clock.read(), refused: true };
    scene.clock.hear(&heard).unwrap();
    assert_eq!(scene.off(), DAYS + 1);
    heard.signed = scene.clock.now();
    scene.clock.hear(&heard);
    assert_eq!((scene.off(), scene.clock.skew()), (-TEN_MINUTES, None));
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Stop(u64),
    Set(i64),
    SetRight,
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..20_000).prop_map(Step::Pass),
        (0_u64..200_000).prop_map(Step::Stop),
        (-200_000_i64..200_000).prop_map(Step::Set),
        Just(Step::SetRight),
        Just(Step::Answer),
    ]
}

proptest! {
    /// Whatever is done to the clock of the machine, save a stop that nobody sets it right after:
    /// the corrected clock is never behind where that is certain, so that an expired session is
    /// never taken for valid.
    #[test]
    fn it_is_never_behind_the_truth(wrong in -200_000_i64..200_000, steps in prop::collection::vec(step(), 0..20)) {
        let mut scene = Scene::ahead(wrong);
        scene.answer();
        for step in steps {
            match step {
                Step::Pass(seconds) => scene.pass(Duration::from_secs(seconds)),
                Step::Stop(seconds) => {
                    scene.stop(Duration::from_secs(seconds));
                    let wall = scene.machine.read().wall;
                    scene.set(-ClockSkew::between(wall, scene.truth).seconds());
                    scene.answer();
                }
                Step::Set(seconds) => scene.set(seconds),
                Step::SetRight => {
                    let wall = scene.machine.read().wall;
                    scene.set(-ClockSkew::between(wall, scene.truth).seconds());
                }
                Step::Answer => {
                    scene.answer();
                    prop_assert!((-1..=240).contains(&scene.off()), "{} s", scene.off());
                }
            }
            prop_assert!(scene.off() >= -1, "{} s", scene.off());
        }
    }
}
