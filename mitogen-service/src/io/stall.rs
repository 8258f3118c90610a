//! Whether what is under way moves: a plain watch without a clock of its own.

use std::time::{Duration, Instant};

/// Watches one direction of a stream.
#[derive(Debug)]
pub(crate) struct Stall {
    bound: Duration,
    /// The last moment at which it moved, while something is under way.
    since: Option<Instant>,
    /// Somebody will ask [`check`](Self::check).
    watched: bool,
}

/// What a look at the watch tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing is under way; nobody needs to look again.
    Idle,
    /// It moves; look again after this time.
    Again(Duration),
    /// Nothing has moved for too long.
    Stalled,
}

impl Stall {
    /// A watch that bears with `bound` without progress.
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, since: None, watched: false }
    }

    /// Something has begun or has moved; `true` if somebody has to look after the bound.
    pub(crate) fn moved(&mut self, now: Instant) -> bool {
        self.since = Some(now);
        !std::mem::replace(&mut self.watched, true)
    }

    /// Whether anything is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.since.is_none()
    }

    /// Everything is done.
    pub(crate) fn done(&mut self) {
        self.since = None;
    }

    /// How long to bear with it.
    pub(crate) fn bound(&self) -> Duration {
        self.bound
    }

    /// Looks at what has become of it.
    pub(crate) fn check(&mut self, now: Instant) -> Look {
        let Some(since) = self.since else {
            self.watched = false;
            return Look::Idle;
        };
        match self.bound.checked_sub(now.saturating_duration_since(since)) {
            Some(left) if !left.is_zero() => Look::Again(left),
            _ => Look::Stalled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_move_is_stalled() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut stall = Stall::new(second * 10);
        assert!(stall.moved(start));
        assert!(!stall.moved(start + second * 5), "it is watched already");
        assert_eq!(stall.check(start + second * 10), Look::Again(second * 5));
        assert_eq!(stall.check(start + second * 15), Look::Stalled);
        stall.done();
        assert_eq!(stall.check(start + second * 30), Look::Idle);
        assert!(stall.moved(start + second * 40), "nobody looks any more");
    }
}
