//! Where a context's new ids come from: a counter at the root, blocks given by it elsewhere.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::wire::ContextId;

/// How many ids are given at once.
pub(crate) const BLOCK: u32 = 1000;

/// The ids that this context may give to the contexts that it starts.
pub(crate) struct Ids {
    /// The root's counter: the next id that nobody has.
    counter: Option<u32>,
    /// What this context was given, oldest first.
    blocks: Vec<Range<u32>>,
}

impl Ids {
    /// The ids of the root, which has all of them but its own.
    pub(crate) fn root() -> Self {
        Self { counter: Some(1), blocks: Vec::new() }
    }

    /// The ids of a context that has to ask.
    pub(crate) fn below() -> Self {
        Self { counter: None, blocks: Vec::new() }
    }

    /// An id for a new context, if there is one at hand.
    pub(crate) fn take(&mut self) -> Option<ContextId> {
        if let Some(next) = &mut self.counter {
            return advance(next, 1).map(|ids| ContextId::new(ids.start));
        }
        self.blocks.retain(|block| !block.is_empty());
        self.blocks.first_mut()?.next().map(ContextId::new)
    }

    /// A block to give away; only the root has any.
    pub(crate) fn take_block(&mut self) -> Option<Range<u32>> {
        advance(self.counter.as_mut()?, BLOCK)
    }

    /// Adds a block that was given to this context for its own use.
    pub(crate) fn add_block(&mut self, block: Range<u32>) {
        self.blocks.push(block);
    }

    /// Whether this context has made this id: only the root does.
    pub(crate) fn has_made(&self, id: ContextId) -> bool {
        self.counter.is_some_and(|next| (1..next).contains(&id.get()))
    }

    /// Whether this context makes ids instead of asking for them.
    pub(crate) fn is_root(&self) -> bool {
        self.counter.is_some()
    }
}

/// A set of ids in ranges that do not overlap, since each id is given once.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// The end of each range by its start.
    ends: BTreeMap<u32, u32>,
}

impl Ranges {
    /// Adds a range.
    pub(crate) fn push(&mut self, range: Range<u32>) {
        self.ends.insert(range.start, range.end);
    }

    /// Whether an id is in one of them.
    pub(crate) fn contains(&self, id: ContextId) -> bool {
        let before = self.ends.range(..=id.get()).next_back();
        before.is_some_and(|(_, end)| id.get() < *end)
    }

    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

fn advance(next: &mut u32, amount: u32) -> Option<Range<u32>> {
    let start = *next;
    *next = start.checked_add(amount)?;
    Some(start..*next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &mut Ids, count: usize) -> Vec<u32> {
        (0..count).filter_map(|_| ids.take()).map(ContextId::get).collect()
    }

    #[test]
    fn ranges_hold_what_was_put_into_them_and_nothing_else() {
        let mut ranges = Ranges::default();
        for range in [10..20, 5..6, 20..30, 100..100] {
            ranges.push(range);
        }
        let held: Vec<_> = (0..200).filter(|id| ranges.contains(ContextId::new(*id))).collect();
        assert_eq!(held, (5..6).chain(10..30).collect::<Vec<_>>());
    }

    #[test]
    fn the_root_counts_and_gives_blocks_of_a_thousand() {
        let mut root = Ids::root();
        assert_eq!(ids(&mut root, 1), [1]);
        assert_eq!(root.take_block(), Some(2..1002));
        assert_eq!(ids(&mut root, 2), [1002, 1003]);
    }

    #[test]
    fn a_context_below_uses_up_what_it_was_given() {
        let mut below = Ids::below();
        assert_eq!(ids(&mut below, 1), []);
        below.add_block(2..4);
        below.add_block(10..11);
        assert_eq!(ids(&mut below, 5), [2, 3, 10]);
        assert_eq!(below.take_block(), None);
    }

    #[test]
    fn ids_end_without_wrapping() {
        let mut root = Ids { counter: Some(u32::MAX - 1), blocks: Vec::new() };
        assert_eq!(ids(&mut root, 3), [u32::MAX - 1]);
        assert_eq!(root.take_block(), None);
    }
}
