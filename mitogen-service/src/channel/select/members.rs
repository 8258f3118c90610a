//! Who is in a select, and who has an event: a plain state machine without locks and threads.

use std::collections::{HashMap, VecDeque};

use super::key::Key;
use crate::error::SELECT_CLOSED;

/// The members of a select, over the type that stands for one.
pub(super) struct Members<S> {
    entries: HashMap<u64, Entry<S>>,
    numbers: HashMap<Key, u64>,
    /// The members that have said that they have an event, once for each.
    ready: VecDeque<u64>,
    next: u64,
    oneshot: bool,
    closed: bool,
}

struct Entry<S> {
    key: Key,
    /// Absent while it is being added.
    source: Option<S>,
    /// How often it has said that it has an event before it was there.
    missed: usize,
}

/// What a member gives.
pub(super) enum Got<T> {
    Item(T),
    /// After this one it is no member any more.
    Last(T),
    /// Somebody else has had it.
    Nothing,
}

/// What a select gives.
pub(super) enum Next<T, S> {
    Item {
        key: Key,
        item: T,
        /// The member, if this was its last event.
        removed: Option<S>,
    },
    Nothing,
    Empty,
    Closed,
}

impl<S> Members<S> {
    pub(super) fn new(oneshot: bool) -> Self {
        Self {
            entries: HashMap::new(),
            numbers: HashMap::new(),
            ready: VecDeque::new(),
            next: 0,
            oneshot,
            closed: false,
        }
    }

    /// Makes a place for a member, which may have events from now on; or says why not.
    pub(super) fn reserve(&mut self, key: Key) -> Result<u64, &'static str> {
        if self.closed {
            return Err(SELECT_CLOSED);
        }
        if self.numbers.contains_key(&key) {
            return Err("a member has this key already");
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(key.clone(), number);
        self.entries.insert(number, Entry { key, source: None, missed: 0 });
        Ok(number)
    }

    /// Puts the member into its place; it had so many events when it was asked. Gives how many there
    /// are, or the member if its place is gone.
    pub(super) fn insert(&mut self, number: u64, source: S, events: usize) -> Result<usize, S> {
        let Some(entry) = self.entries.get_mut(&number) else { return Err(source) };
        entry.source = Some(source);
        let events = events + std::mem::take(&mut entry.missed);
        self.ready.extend(std::iter::repeat_n(number, events));
        Ok(events)
    }

    /// Takes a member out. One that is being added is not there yet.
    pub(super) fn remove(&mut self, key: &Key) -> Option<S> {
        let number = *self.numbers.get(key)?;
        self.entries.get(&number)?.source.as_ref()?;
        let source = self.drop_number(number);
        // Its events go with it.
        self.ready.retain(|ready| *ready != number);
        source
    }

    /// A member has events; `false` if it is none any more.
    pub(super) fn ready(&mut self, number: u64, events: usize) -> bool {
        let known = self.entries.contains_key(&number);
        if known {
            self.ready.extend(std::iter::repeat_n(number, events));
        }
        known
    }

    /// Takes the next event.
    pub(super) fn next<T>(&mut self, mut take: impl FnMut(&mut S) -> Got<T>) -> Next<T, S> {
        while let Some(number) = self.ready.pop_front() {
            let Some(entry) = self.entries.get_mut(&number) else { continue };
            let Some(source) = &mut entry.source else {
                entry.missed += 1;
                continue;
            };
            let key = entry.key.clone();
            match take(source) {
                Got::Nothing => {}
                Got::Item(item) if !self.oneshot => return Next::Item { key, item, removed: None },
                Got::Item(item) | Got::Last(item) => {
                    return Next::Item { key, item, removed: self.drop_number(number) };
                }
            }
        }
        match (self.closed, self.entries.is_empty()) {
            (true, _) => Next::Closed,
            (false, true) => Next::Empty,
            (false, false) => Next::Nothing,
        }
    }

    /// Takes all members out and takes no new ones.
    pub(super) fn close(&mut self) -> Vec<S> {
        self.closed = true;
        self.numbers.clear();
        self.ready.clear();
        self.entries.drain().filter_map(|(_, entry)| entry.source).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many events there are at most.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    fn drop_number(&mut self, number: u64) -> Option<S> {
        let entry = self.entries.remove(&number)?;
        self.numbers.remove(&entry.key);
        entry.source
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A member with these events.
    type Fake = VecDeque<u32>;

    fn take(fake: &mut Fake) -> Got<u32> {
        fake.pop_front().map_or(Got::Nothing, Got::Item)
    }

    fn add(members: &mut Members<Fake>, key: u32, events: &[u32]) -> u64 {
        let number = members.reserve(key.into()).unwrap();
        assert!(members.insert(number, events.iter().copied().collect(), events.len()).is_ok());
        number
    }

    fn next(members: &mut Members<Fake>) -> Option<(Key, u32)> {
        match members.next(take) {
            Next::Item { key, item, .. } => Some((key, item)),
            _ => None,
        }
    }

    #[test]
    fn a_refused_key_leaves_nothing_behind() {
        let mut members = Members::new(false);
        add(&mut members, 1, &[7]);
        assert_eq!(members.reserve(1.into()), Err("a member has this key already"));
        assert_eq!((members.len(), next(&mut members)), (1, Some((1.into(), 7))));
        members.close();
        assert_eq!(members.reserve(2.into()), Err("the Select has been closed"));
        assert!(matches!(members.next(take), Next::Closed));
    }

    #[test]
    fn an_event_that_comes_while_its_member_is_added_is_not_lost() {
        let mut members = Members::new(false);
        let number = members.reserve(1.into()).unwrap();
        assert!(members.ready(number, 1));
        assert!(matches!(members.next(take), Next::Nothing));
        assert!(members.remove(&1.into()).is_none(), "it is not there yet");
        assert_eq!(members.insert(number, [7].into(), 0), Ok(1));
        assert_eq!(next(&mut members), Some((1.into(), 7)));
    }

    #[test]
    fn a_removed_member_takes_its_events_along() {
        let mut members = Members::new(false);
        add(&mut members, 1, &[7, 8]);
        add(&mut members, 2, &[9]);
        assert_eq!(members.remove(&1.into()), Some([7, 8].into()));
        assert_eq!((members.waiting(), next(&mut members)), (1, Some((2.into(), 9))));
        assert!(members.remove(&1.into()).is_none());
    }

    #[test]
    fn a_oneshot_lets_each_go_after_one_event_until_none_is_left() {
        let mut members = Members::new(true);
        add(&mut members, 1, &[7, 8]);
        add(&mut members, 2, &[9]);
        assert_eq!([next(&mut members), next(&mut members)], [Some((1.into(), 7)), Some((2.into(), 9))]);
        assert!(matches!(members.next(take), Next::Empty));
    }

    proptest! {
        /// Against one list of everything that was said: events come in the order of arrival, each
        /// once, and those of removed members not at all. Words about nothing are passed over.
        #[test]
        fn events_come_in_the_order_of_their_arrival(steps in prop::collection::vec((0..5_u8, 0..4_u32), 1..300)) {
            let mut members: Members<Fake> = Members::new(false);
            let mut oracle: Vec<(u32, u32)> = Vec::new();
            for (event, (step, key)) in (0..).zip(steps) {
                let number = members.numbers.get(&key.into()).copied();
                match (step, number) {
                    (0, None) => {
                        add(&mut members, key, &[]);
                    }
                    (1 | 2, Some(number)) => {
                        let source = members.entries.get_mut(&number).and_then(|entry| entry.source.as_mut());
                        source.unwrap().push_back(event);
                        members.ready(number, 1);
                        oracle.push((key, event));
                    }
                    (3, Some(number)) => {
                        // Somebody else has taken the first of them, so one word is stale.
                        let source = members.entries.get_mut(&number).and_then(|entry| entry.source.as_mut());
                        if let Some(taken) = source.unwrap().pop_front() {
                            oracle.retain(|(_, event)| *event != taken);
                        } else {
                            members.remove(&key.into());
                        }
                    }
                    _ => {
                        let got = next(&mut members);
                        // With stale words about, the order across members is that of the words that
                        // are left; what a member gives is in its own order.
                        match got {
                            None => prop_assert!(oracle.is_empty()),
                            Some((key, item)) => {
                                let of_key = oracle.iter().position(|(other, _)| key == *other).unwrap();
                                prop_assert_eq!(oracle.remove(of_key).1, item);
                            }
                        }
                    }
                }
                prop_assert!(members.waiting() >= oracle.len());
            }
        }
    }
}
