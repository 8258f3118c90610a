//! How many calls there are, and whose: a plain state machine.

use std::collections::HashMap;

use crate::wire::ContextId;

/// The calls that a pool may hold, from their arrival until they are answered.
const MAX_CALLS: usize = 65_536;

/// The bytes that these calls may have together.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The part of both that one caller may have: one in so many.
const CALLER_PART: usize = 4;

/// What may be had of something.
#[derive(Clone, Copy, Debug)]
struct Limit {
    calls: usize,
    bytes: usize,
}

/// All calls that have arrived and are not answered, wherever they are.
pub(crate) struct Load {
    all: Share,
    callers: HashMap<ContextId, Share>,
    limit: Limit,
}

/// Which bound does not admit a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That on all calls.
    All,
    /// That on the calls of one caller.
    Caller,
}

/// What somebody has.
#[derive(Debug, Default)]
struct Share {
    calls: usize,
    bytes: usize,
    /// A call that is larger than the whole limit; it is admitted beside the others, once at a time.
    has_large: bool,
}

impl Share {
    fn admits(&self, size: usize, limit: Limit) -> bool {
        let fits = if size > limit.bytes { !self.has_large } else { self.bytes + size <= limit.bytes };
        fits && self.calls < limit.calls
    }

    fn add(&mut self, size: usize, limit: Limit) {
        self.calls += 1;
        if size > limit.bytes {
            self.has_large = true;
        } else {
            self.bytes += size;
        }
    }

    fn remove(&mut self, size: usize, limit: Limit) {
        self.calls -= 1;
        if size > limit.bytes {
            self.has_large = false;
        } else {
            self.bytes -= size;
        }
    }
}

impl Limit {
    fn part(self, part: usize) -> Self {
        Self { calls: self.calls / part, bytes: self.bytes / part }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new(Limit { calls: MAX_CALLS, bytes: MAX_BYTES })
    }
}

impl Load {
    fn new(limit: Limit) -> Self {
        Self { all: Share::default(), callers: HashMap::new(), limit }
    }

    /// Takes a call of this size in.
    pub(crate) fn enter(&mut self, caller: ContextId, size: usize) -> Result<(), Full> {
        let limit = self.limit.part(CALLER_PART);
        if !self.all.admits(size, self.limit) {
            return Err(Full::All);
        }
        if !self.callers.get(&caller).is_none_or(|share| share.admits(size, limit)) {
            return Err(Full::Caller);
        }
        self.all.add(size, self.limit);
        self.callers.entry(caller).or_default().add(size, limit);
        Ok(())
    }

    /// A call that was taken in has been answered.
    pub(crate) fn leave(&mut self, caller: ContextId, size: usize) {
        self.all.remove(size, self.limit);
        if let Some(share) = self.callers.get_mut(&caller) {
            share.remove(size, self.limit.part(CALLER_PART));
            if share.calls == 0 {
                self.callers.remove(&caller);
            }
        }
    }
}

impl Full {
    /// What the caller is told.
    pub(crate) fn text(self) -> String {
        let limit = Limit { calls: MAX_CALLS, bytes: MAX_BYTES };
        let (whose, Limit { calls, bytes }) = match self {
            Self::All => ("", limit),
            Self::Caller => (" for one caller", limit.part(CALLER_PART)),
        };
        format!(
            "the pool's queue is full{whose} ({calls} calls or {} MiB until they are answered); try again later",
            bytes >> 20
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u32) -> ContextId {
        ContextId::new(id)
    }

    #[test]
    fn one_caller_may_have_a_quarter_of_the_calls() {
        let mut load = Load::new(Limit { calls: 8, bytes: 1000 });
        assert_eq!([(); 3].map(|()| load.enter(id(1), 1)), [Ok(()), Ok(()), Err(Full::Caller)]);
        for other in [2, 2, 3, 3, 4, 4] {
            assert_eq!(load.enter(id(other), 1), Ok(()));
        }
        assert_eq!(load.enter(id(5), 1), Err(Full::All));
        load.leave(id(1), 1);
        assert_eq!(load.enter(id(2), 1), Err(Full::Caller));
        assert_eq!(load.enter(id(5), 1), Ok(()));
    }

    #[test]
    fn bytes_are_bounded_and_one_large_call_is_admitted_beside_the_others() {
        let mut load = Load::new(Limit { calls: 1000, bytes: 400 });
        assert_eq!(load.enter(id(1), 100), Ok(()), "a quarter");
        assert_eq!(load.enter(id(1), 1), Err(Full::Caller));
        assert_eq!(load.enter(id(1), 101), Ok(()), "larger than the quarter");
        assert_eq!(load.enter(id(1), 101), Err(Full::Caller), "a second one");
        assert_eq!(load.enter(id(2), 401), Ok(()), "larger than all");
        assert_eq!(load.enter(id(3), 401), Err(Full::All), "a second one");
        assert_eq!(load.enter(id(3), 200), Err(Full::All), "401 bytes, the large one aside");
        assert_eq!(load.enter(id(3), 199), Ok(()));
        for (caller, size) in [(1, 100), (1, 101), (2, 401), (3, 199)] {
            load.leave(id(caller), size);
        }
        assert!(load.callers.is_empty() && load.all.bytes == 0 && !load.all.has_large);
    }
}
