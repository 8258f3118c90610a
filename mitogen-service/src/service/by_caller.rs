//! A table of calls in which those of one caller are found without a search through all of them.

use super::in_flight::CallId;
use crate::hash::SmallMap;
use crate::wire::{ContextId, Handle};

/// How many callers without a call keep their empty table, so that the next call allocates none.
const KEPT: usize = 64;

/// What is kept of each call.
#[derive(Debug)]
pub(super) struct ByCaller<V> {
    callers: SmallMap<ContextId, SmallMap<Handle, V>>,
    /// How many of these tables are empty.
    empty: usize,
}

impl<V> Default for ByCaller<V> {
    fn default() -> Self {
        Self { callers: SmallMap::default(), empty: 0 }
    }
}

impl<V> ByCaller<V> {
    /// Keeps something of a call, in the place of what there was.
    pub(super) fn insert(&mut self, (caller, handle): CallId, value: V) -> Option<V> {
        let known = self.callers.len();
        let calls = self.callers.entry(caller).or_default();
        let was_empty = calls.is_empty();
        let previous = calls.insert(handle, value);
        let is_new = self.callers.len() > known;
        self.empty -= usize::from(was_empty && !is_new);
        previous
    }

    /// What is kept of a call.
    pub(super) fn get(&self, (caller, handle): &CallId) -> Option<&V> {
        self.callers.get(caller)?.get(handle)
    }

    /// Forgets a call.
    pub(super) fn remove(&mut self, (caller, handle): &CallId) -> Option<V> {
        let calls = self.callers.get_mut(caller)?;
        let value = calls.remove(handle)?;
        if calls.is_empty() {
            self.empty += 1;
            if self.empty > KEPT {
                self.callers.retain(|_, calls| !calls.is_empty());
                self.empty = 0;
            }
        }
        Some(value)
    }

    /// All calls, and what is kept of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (CallId, &V)> {
        self.callers.iter().flat_map(|(caller, calls)| calls.iter().map(|(handle, value)| ((*caller, *handle), value)))
    }

    /// What is kept of the calls of one caller.
    pub(super) fn of(&self, caller: ContextId) -> impl Iterator<Item = &V> {
        self.callers.get(&caller).into_iter().flat_map(SmallMap::values)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_that_knows_the_callers(steps in proptest::collection::vec((0..3u8, 0..100u32, 0..3u32), 1..500)) {
            let (mut table, mut oracle) = (ByCaller::default(), BTreeMap::new());
            for (number, (step, caller, handle)) in steps.into_iter().enumerate() {
                let id = (ContextId::new(caller), Handle::new(handle));
                if step > 0 {
                    prop_assert_eq!(table.insert(id, number), oracle.insert(id, number));
                } else {
                    prop_assert_eq!(table.remove(&id), oracle.remove(&id));
                }
                prop_assert_eq!(table.get(&id), oracle.get(&id));
                let mut of: Vec<_> = table.of(id.0).copied().collect();
                of.sort_unstable();
                let mut expected: Vec<_> = oracle.iter().filter(|(other, _)| other.0 == id.0).map(|(_, n)| *n).collect();
                expected.sort_unstable();
                prop_assert_eq!(of, expected);
                let empty = table.callers.values().filter(|calls| calls.is_empty()).count();
                prop_assert!(empty == table.empty && empty <= KEPT);
            }
        }
    }
}
