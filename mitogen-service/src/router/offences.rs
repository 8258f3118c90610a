//! What a neighbour does wrong is logged, but not as often as it does it.

use std::time::{Duration, Instant};

/// How many lines one neighbour may cause in a second.
const MAX_LINES: u32 = 10;

/// Counts the offences of one neighbour.
#[derive(Debug, Default)]
pub(crate) struct Offences {
    since: Option<Instant>,
    lines: u32,
    untold: u64,
}

impl Offences {
    /// Whether this one is to be logged; if so, how many were not since the last one that was.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        let second = Duration::from_secs(1);
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= second) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == MAX_LINES {
            self.untold += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_are_told_and_the_others_counted() {
        let start = Instant::now();
        let mut offences = Offences::default();
        let told = (0..100).filter(|_| offences.note(start).is_some()).count();
        assert_eq!(told, 10);
        let later = start + Duration::from_secs(1);
        assert_eq!(offences.note(later), Some(90));
        assert_eq!(offences.note(later), Some(0));
    }
}
