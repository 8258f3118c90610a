//! From many measurements to one figure.

use std::time::Duration;

/// How long each of many round trips took, in nanoseconds.
#[derive(Default)]
pub(crate) struct Samples {
    nanos: Vec<u64>,
}

impl Samples {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { nanos: Vec::with_capacity(count) }
    }

    pub(crate) fn push(&mut self, time: Duration) {
        self.nanos.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn from_nanos(nanos: Vec<u64>) -> Self {
        Self { nanos }
    }

    pub(crate) fn len(&self) -> usize {
        self.nanos.len()
    }

    /// The time, in microseconds, that this part of the samples does not exceed.
    pub(crate) fn percentile_us(&mut self, part: f64) -> f64 {
        if self.nanos.is_empty() {
            return f64::NAN;
        }
        self.nanos.sort_unstable();
        let last = self.nanos.len() - 1;
        self.nanos[(last as f64 * part).round() as usize] as f64 / 1e3
    }

    pub(crate) fn mean_us(&self) -> f64 {
        self.nanos.iter().sum::<u64>() as f64 / self.nanos.len() as f64 / 1e3
    }
}

/// The one in the middle, or between the two in the middle; not a number if there are none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}
