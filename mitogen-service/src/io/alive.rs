//! Whether the other end is alive: a plain count of beats without a clock of its own.
//!
//! Beats are counted and no time is measured. So a process that was stopped itself, as by Ctrl-Z or in a
//! computer that slept, sees one late beat when it goes on, and does not hold its own absence
//! against the other end.

use std::time::Duration;

/// After how many beats without a sign of life the other end is given up.
const MAX_SILENT: u32 = 3;

/// Watches the other end of a stream.
#[derive(Debug)]
pub(crate) struct Alive {
    interval: Duration,
    /// Beats since the last sign of life.
    silent: u32,
}

/// What is to be done at a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing: there was a sign of life.
    Fine,
    /// Ask for one.
    Ask,
    /// Give the other end up.
    Lost,
}

impl Alive {
    /// A watch whose [`beat`](Self::beat) is called after each interval.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, silent: 0 }
    }

    /// The time from one beat to the next.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// How long the other end has been silent at least when it is given up.
    pub(crate) fn patience(&self) -> Duration {
        self.interval.saturating_mul(MAX_SILENT)
    }

    /// An interval is over, in which there was a sign of life or not.
    pub(crate) fn beat(&mut self, heard: bool) -> Beat {
        self.silent = if heard { 0 } else { self.silent + 1 };
        match self.silent {
            0 => Beat::Fine,
            MAX_SILENT.. => Beat::Lost,
            _ => Beat::Ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_asks_after_an_interval_and_gives_up_after_three() {
        let mut alive = Alive::new(Duration::from_secs(15));
        assert_eq!(alive.beat(true), Beat::Fine);
        assert_eq!([(); 3].map(|()| alive.beat(false)), [Beat::Ask, Beat::Ask, Beat::Lost]);
        assert_eq!(alive.patience(), Duration::from_secs(45));
    }

    #[test]
    fn any_sign_of_life_makes_it_begin_anew() {
        let mut alive = Alive::new(Duration::MAX);
        for _ in 0..10 {
            assert_eq!([false, false, true].map(|heard| alive.beat(heard)), [Beat::Ask, Beat::Ask, Beat::Fine]);
        }
        assert_eq!(alive.patience(), Duration::MAX);
    }

    proptest! {
        /// A clock that is made up: bytes come at any times, and each beat is late by any time.
        #[test]
        fn the_silence_of_who_is_given_up_lies_between_three_and_four_intervals(
            interval in 1..1000_u64,
            gaps in prop::collection::vec(0..5000_u64, 0..50),
            late in prop::collection::vec(0..3000_u64, 1..50),
        ) {
            let bytes: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut alive = Alive::new(Duration::from_millis(interval));
            let (mut last_beat, mut asked, mut lateness) = (0, 0, 0);
            for late in late.into_iter().chain(std::iter::repeat(0)) {
                let now = last_beat + interval + late;
                let heard = bytes.iter().any(|at| (last_beat..now).contains(at));
                // The stream is watched from 0 on, which counts as a sign of life.
                let silent = now - bytes.iter().rev().find(|at| **at < now).unwrap_or(&0);
                lateness = if heard { late } else { lateness + late };
                match alive.beat(heard) {
                    Beat::Fine => asked = 0,
                    Beat::Ask => {
                        prop_assert!(silent >= interval);
                        asked += 1;
                    }
                    Beat::Lost => {
                        prop_assert_eq!(asked, 2, "it was asked before");
                        prop_assert!(silent >= 3 * interval);
                        prop_assert!(silent <= 4 * interval + lateness);
                        break;
                    }
                }
                last_beat = now;
            }
        }
    }
}
