//! A histogram of durations that threads fill without waiting for one another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::names::Family;
use super::text::{Exposition, Labels};

/// Upper bounds for opens: one that is ready takes tens of microseconds, one that waits for AWS up
/// to the open deadline.
pub(super) const OPEN_BOUNDS: &[Duration] = &[
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Upper bounds for calls to STS: from a near endpoint to one that gives no answer in time.
pub(super) const STS_BOUNDS: &[Duration] = &[
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Durations, counted by the smallest bound that is not below them.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_nanos: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, duration: Duration) {
        let index = self.bounds.partition_point(|bound| *bound < duration);
        self.counts[index].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Writes the samples. The total is that of the counts written, so the text is consistent in
    /// itself whatever is counted meanwhile; the sum may be one duration ahead or behind.
    pub(super) fn write(&self, text: &mut Exposition, family: &Family, labels: Labels<'_>) {
        let bounds = self.bounds.iter().map(|bound| bound.as_secs_f64().to_string());
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            text.part(family, "_bucket", &labels, total);
        }
        let sum = Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed));
        text.part(family, "_sum", labels, sum.as_secs_f64());
        text.part(family, "_count", labels, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_below_the_bound_it_equals() {
        let histogram = Histogram::new(OPEN_BOUNDS);
        let counted = |duration| {
            histogram.observe(duration);
            let counts = histogram.counts.iter().map(|count| count.swap(0, Ordering::Relaxed));
            counts.collect::<Vec<_>>().iter().position(|count| *count == 1)
        };
        assert_eq!(counted(Duration::ZERO), Some(0));
        assert_eq!(counted(Duration::from_micros(20)), Some(0));
        assert_eq!(counted(Duration::from_nanos(20_001)), Some(1));
        assert_eq!(counted(Duration::from_secs(10)), Some(15));
        assert_eq!(counted(Duration::from_hours(1)), Some(16));
    }

    #[test]
    fn bounds_rise() {
        for bounds in [OPEN_BOUNDS, STS_BOUNDS] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }
}
