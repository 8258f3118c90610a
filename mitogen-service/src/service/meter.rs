//! How often a method is called, and how long it takes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How many buckets one doubling of time is cut into; a quantile is off by an eighth at most.
const PARTS: usize = 4;

/// Buckets from a microsecond to more than an hour.
const BUCKETS: usize = 32 * PARTS;

/// A method that takes less is fast: it is over before another thread would be awake.
const FAST: Duration = Duration::from_micros(20);

/// What is assumed of a method that has not run yet.
const UNKNOWN: Duration = Duration::from_millis(1);

const UNKNOWN_NANOS: u32 = UNKNOWN.subsec_nanos();

/// The estimate falls by so much of the difference at each call that is faster.
const FALL: u32 = 8;

/// Counts the calls of one method. Threads count side by side, and nobody waits.
#[derive(Default)]
pub(crate) struct Meter {
    /// How many nanoseconds the next call will take, roughly, less than [`UNKNOWN`] by so many: it starts
    /// slow, rises at once and falls slowly.
    below_unknown: AtomicU32,
    /// Made at the first call, since most methods are never called.
    counts: OnceLock<Box<Counts>>,
}

struct Counts {
    failed: AtomicU64,
    max_micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// What is known of a method's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Meter {
    /// A call has run for this long.
    pub(crate) fn record(&self, took: Duration, failed: bool) {
        self.estimate(took);
        let counts = self.counts.get_or_init(|| {
            Box::new(Counts {
                failed: AtomicU64::new(0),
                max_micros: AtomicU64::new(0),
                buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            })
        });
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        counts.max_micros.fetch_max(micros, Ordering::Relaxed);
        if failed {
            counts.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the next call will be over before another thread would be awake, as it seems.
    pub(crate) fn is_fast(&self) -> bool {
        UNKNOWN_NANOS - self.below_unknown.load(Ordering::Relaxed) < FAST.subsec_nanos()
    }

    /// Threads that do so at the same time may lose one of their estimates, which the next call mends.
    fn estimate(&self, took: Duration) {
        let before = UNKNOWN_NANOS - self.below_unknown.load(Ordering::Relaxed);
        let took = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX).min(UNKNOWN_NANOS);
        let now = if took >= before { took } else { before - (before - took).div_ceil(FALL) };
        self.below_unknown.store(UNKNOWN_NANOS - now, Ordering::Relaxed);
    }

    /// What has been counted.
    pub(crate) fn read(&self) -> Reading {
        let Some(counts) = self.counts.get() else { return Reading::default() };
        let buckets: Vec<_> = counts.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let calls: u64 = buckets.iter().sum();
        let max = counts.max_micros.load(Ordering::Relaxed);
        let quantile = |percent: u64| {
            let rank = (calls * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let at = buckets.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            Duration::from_micros(at.map_or(0, upper).min(max))
        };
        Reading {
            calls,
            failed: counts.failed.load(Ordering::Relaxed),
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
            max: Duration::from_micros(max),
        }
    }
}

/// The bucket of a time: below 4 µs each microsecond has its own, then each doubling has four.
fn bucket(micros: u64) -> usize {
    if micros < PARTS as u64 {
        return micros as usize;
    }
    let doublings = micros.ilog2() as usize;
    let part = (micros >> (doublings - 2)) as usize & (PARTS - 1);
    ((doublings - 1) * PARTS + part).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let (doublings, part) = (bucket / PARTS + 1, bucket % PARTS);
    (((PARTS + part + 1) as u64) << (doublings - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_at_or_after_it() {
        for micros in (0..10_000).chain((14..31).map(|doublings| 1 << doublings)) {
            let at = bucket(micros);
            assert!(upper(at) >= micros, "{micros} in {at}");
            assert!(at == 0 || upper(at - 1) < micros, "{micros} in {at}");
            assert!(upper(at) - micros <= micros / 4, "{micros} in {at}: {}", upper(at));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let meter = Meter::default();
        assert_eq!(meter.read(), Reading::default());
        for micros in 1..=1000 {
            meter.record(Duration::from_micros(micros), micros % 10 == 0);
        }
        let Reading { calls, failed, p50, p90, p99, max } = meter.read();
        assert_eq!((calls, failed, max), (1000, 100, Duration::from_micros(1000)));
        for (quantile, exact) in [(p50, 500), (p90, 900), (p99, 990)] {
            let micros = quantile.as_micros() as u64;
            assert!((exact..=exact + exact / 4).contains(&micros), "{micros} for {exact}");
        }
    }

    #[test]
    fn a_method_is_fast_after_many_fast_calls_and_slow_after_one_slow_call() {
        let meter = Meter::default();
        assert!(!meter.is_fast());
        let fast_after = |meter: &Meter| {
            let calls = (1..1000).find(|_| {
                meter.record(Duration::from_micros(2), false);
                meter.is_fast()
            });
            calls.unwrap()
        };
        let calls = fast_after(&meter);
        assert!((10..60).contains(&calls), "{calls}");
        meter.record(Duration::from_secs(5), false);
        assert!(!meter.is_fast());
        assert_eq!(fast_after(&meter), calls);
    }

    #[test]
    fn a_single_call_is_all_quantiles() {
        let meter = Meter::default();
        meter.record(Duration::from_secs(7200), true);
        let reading = meter.read();
        assert_eq!((reading.p50, reading.p99, reading.calls, reading.failed), (reading.max, reading.max, 1, 1));
    }
}
