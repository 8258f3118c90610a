//! How many calls there are, and whose: a plain state machine.

use std::hash::Hash;

use crate::hash::SmallMap;
use crate::wire::ContextId;

const MIB: usize = 1024 * 1024;

/// The part of both that one caller may have: one in so many.
const CALLER_PART: usize = 4;

/// The part of both that the calls of one service may have.
const SERVICE_PART: usize = 2;

/// Stands for the name of a service. Two names that share one share what they may have, too.
pub(crate) type ServiceKey = u64;

/// What is counted of a call until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    /// Whose share it uses.
    pub(crate) caller: ContextId,
    /// The service that it names.
    pub(crate) service: ServiceKey,
    /// The bytes of its message.
    pub(crate) size: usize,
}

/// What may be had of something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The calls, from their arrival until they are answered.
    pub(crate) calls: usize,
    /// The bytes that these calls may have together.
    pub(crate) bytes: usize,
}

/// All calls that have arrived and are not answered, wherever they are. The limit is the same each time.
#[derive(Default)]
pub(crate) struct Load {
    all: Share,
    callers: SmallMap<ContextId, Share>,
    services: SmallMap<ServiceKey, Share>,
}

/// Which bound does not admit a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That on all calls.
    All,
    /// That on the calls of one caller.
    Caller,
    /// That on the calls for one service.
    Service,
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
    /// Nobody's part is less than a call, of any number of bytes.
    fn part(self, part: usize) -> Self {
        Self { calls: (self.calls / part).max(1), bytes: self.bytes / part }
    }
}

impl Load {
    /// How many calls there are, and their bytes.
    pub(crate) fn total(&self) -> (usize, usize) {
        (self.all.calls, self.all.bytes)
    }

    /// Takes a call in.
    pub(crate) fn enter(&mut self, weight: Weight, limit: Limit) -> Result<(), Full> {
        let Weight { caller, service, size } = weight;
        let (callers, services) = (limit.part(CALLER_PART), limit.part(SERVICE_PART));
        if !self.all.admits(size, limit) {
            return Err(Full::All);
        }
        if !self.callers.get(&caller).is_none_or(|share| share.admits(size, callers)) {
            return Err(Full::Caller);
        }
        if !self.services.get(&service).is_none_or(|share| share.admits(size, services)) {
            return Err(Full::Service);
        }
        self.all.add(size, limit);
        self.callers.entry(caller).or_default().add(size, callers);
        self.services.entry(service).or_default().add(size, services);
        Ok(())
    }

    /// A call that was taken in has been answered.
    pub(crate) fn leave(&mut self, weight: Weight, limit: Limit) {
        let Weight { caller, service, size } = weight;
        self.all.remove(size, limit);
        leave(&mut self.callers, caller, size, limit.part(CALLER_PART));
        leave(&mut self.services, service, size, limit.part(SERVICE_PART));
    }
}

/// Takes a call from the share that it was counted in.
fn leave<K: Eq + Hash>(shares: &mut SmallMap<K, Share>, key: K, size: usize, limit: Limit) {
    if let Some(share) = shares.get_mut(&key) {
        share.remove(size, limit);
        if share.calls == 0 {
            shares.remove(&key);
        }
    }
}

impl Full {
    /// What the caller is told.
    pub(crate) fn text(self, limit: Limit) -> String {
        let (whose, Limit { calls, bytes }) = match self {
            Self::All => ("", limit),
            Self::Caller => (" for one caller", limit.part(CALLER_PART)),
            Self::Service => (" for one service", limit.part(SERVICE_PART)),
        };
        let bytes = if bytes % MIB == 0 { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") };
        format!("the pool's queue is full{whose} ({calls} calls or {bytes} until they are answered); try again later")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u32) -> ContextId {
        ContextId::new(id)
    }

    /// A load and its limit.
    struct Bounded(Load, Limit);

    impl Bounded {
        fn new(calls: usize, bytes: usize) -> Self {
            Self(Load::default(), Limit { calls, bytes })
        }

        fn enter(&mut self, weight: Weight) -> Result<(), Full> {
            self.0.enter(weight, self.1)
        }

        fn leave(&mut self, weight: Weight) {
            self.0.leave(weight, self.1);
        }
    }

    fn enter(load: &mut Bounded, caller: u32, size: usize) -> Result<(), Full> {
        load.enter(weight(caller, size))
    }

    fn leave(load: &mut Bounded, caller: u32, size: usize) {
        load.leave(weight(caller, size));
    }

    /// Each call is one for a service of its own.
    fn weight(caller: u32, size: usize) -> Weight {
        Weight { caller: id(caller), service: u64::from(caller) << 32 | size as u64, size }
    }

    #[test]
    fn one_caller_may_have_a_quarter_of_the_calls() {
        let mut load = Bounded::new(8, 1000);
        assert_eq!([(); 3].map(|()| enter(&mut load, 1, 1)), [Ok(()), Ok(()), Err(Full::Caller)]);
        for other in [2, 2, 3, 3, 4, 4] {
            assert_eq!(enter(&mut load, other, 1), Ok(()));
        }
        assert_eq!(enter(&mut load, 5, 1), Err(Full::All));
        leave(&mut load, 1, 1);
        assert_eq!(enter(&mut load, 2, 1), Err(Full::Caller));
        assert_eq!(enter(&mut load, 5, 1), Ok(()));
    }

    #[test]
    fn one_service_may_have_half_of_the_calls() {
        let mut load = Bounded::new(8, 1000);
        let weight = |caller, service| Weight { caller: id(caller), service, size: 1 };
        for caller in 0..4 {
            assert_eq!(load.enter(weight(caller, 7)), Ok(()));
        }
        assert_eq!(load.enter(weight(4, 7)), Err(Full::Service));
        assert_eq!(load.enter(weight(4, 8)), Ok(()));
        load.leave(weight(0, 7));
        assert_eq!(load.enter(weight(4, 7)), Ok(()));
        assert_eq!(load.0.total(), (5, 5));
    }

    #[test]
    fn bytes_are_bounded_and_one_large_call_is_admitted_beside_the_others() {
        let mut load = Bounded::new(1000, 400);
        assert_eq!(enter(&mut load, 1, 100), Ok(()), "a quarter");
        assert_eq!(enter(&mut load, 1, 1), Err(Full::Caller));
        assert_eq!(enter(&mut load, 1, 101), Ok(()), "larger than the quarter");
        assert_eq!(enter(&mut load, 1, 101), Err(Full::Caller), "a second one");
        assert_eq!(enter(&mut load, 2, 401), Ok(()), "larger than all");
        assert_eq!(enter(&mut load, 3, 401), Err(Full::All), "a second one");
        assert_eq!(enter(&mut load, 3, 200), Err(Full::All), "401 bytes, the large one aside");
        assert_eq!(enter(&mut load, 3, 199), Ok(()));
        for (caller, size) in [(1, 100), (1, 101), (2, 401), (3, 199)] {
            leave(&mut load, caller, size);
        }
        assert!(
            load.0.callers.is_empty()
                && load.0.services.is_empty()
                && load.0.total() == (0, 0)
                && !load.0.all.has_large
        );
    }

    #[test]
    fn the_smallest_limit_admits_one_call_of_any_size() {
        let mut load = Bounded::new(1, 0);
        assert_eq!(enter(&mut load, 1, 1000), Ok(()));
        assert_eq!(enter(&mut load, 2, 1), Err(Full::All));
        leave(&mut load, 1, 1000);
        assert_eq!(enter(&mut load, 2, 1), Ok(()));
    }

    #[test]
    fn the_text_names_the_part_that_is_full() {
        let limit = Limit { calls: 65_536, bytes: 64 * MIB };
        let text = Full::Caller.text(limit);
        assert!(text.contains("full for one caller (16384 calls or 16 MiB until"), "{text}");
        let text = Full::Service.text(Limit { calls: 10, bytes: 1001 });
        assert!(text.contains("full for one service (5 calls or 500 bytes until"), "{text}");
    }
}
