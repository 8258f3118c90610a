//! Moments in the future that somebody has named by a duration.

use std::time::{Duration, Instant};

/// As good as for ever, and far from the end of what a clock can count.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The moment after `bound`. A bound that no clock can count is as good as for ever.
pub(crate) fn after(bound: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(bound.min(FAR)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bound_is_too_long() {
        assert!(after(Duration::MAX) > Instant::now() + Duration::from_secs(1_000_000));
    }
}
