//! Where a context's new ids come from: a counter at the root, blocks given by it elsewhere.

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

    /// Whether this context makes ids instead of asking for them.
    pub(crate) fn is_root(&self) -> bool {
        self.counter.is_some()
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
