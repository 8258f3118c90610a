//! Which files are kept here, and whether there is room for one more: plain data.

use std::collections::HashMap;

use crate::files::hash::FileHash;

/// The largest file that is kept in memory, and that travels in one message.
pub(super) const SMALL: u64 = 64 * 1024;

/// How much is kept of each kind of files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// Those up to [`SMALL`], which take memory.
pub(super) const SMALL_FILES: Bound = Bound { files: 4096, bytes: 16 * 1024 * 1024 };

/// The others. Each takes a descriptor, and its bytes are on a disk.
pub(super) const LARGE_FILES: Bound = Bound { files: 256, bytes: 1024 * 1024 * 1024 };

/// Files by their hash. A file that nobody needs goes when another one needs the room, the one that was used
/// least recently first.
#[derive(Debug)]
pub(super) struct Shelf<C> {
    held: HashMap<FileHash, Held<C>>,
    /// Room that was given to files whose hash is not known yet.
    reserved: HashMap<u64, u64>,
    clock: u64,
    small: Bound,
    large: Bound,
}

/// One file. Without `coming`, `users` and `paths` it is kept only because it may be wanted again.
#[derive(Debug)]
pub(super) struct Held<C> {
    pub(super) content: C,
    size: u64,
    /// It is still being received.
    pub(super) coming: bool,
    /// How many offers of it are not answered.
    users: usize,
    /// How many paths mean it that were pushed to this very context.
    paths: usize,
    used_at: u64,
}

impl<C> Held<C> {
    /// It will be free without anybody's doing.
    fn is_busy(&self) -> bool {
        self.coming || self.users > 0
    }

    fn is_idle(&self) -> bool {
        !self.is_busy() && self.paths == 0
    }
}

/// Whether a file may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Now,
    /// When some that are on their way are through.
    Later,
    /// What was pushed to this context itself takes it all.
    Never,
}

impl<C> Shelf<C> {
    pub(super) fn new(small: Bound, large: Bound) -> Self {
        Self { held: HashMap::new(), reserved: HashMap::new(), clock: 0, small, large }
    }

    pub(super) fn get(&self, hash: &FileHash) -> Option<&Held<C>> {
        self.held.get(hash)
    }

    /// Whether a file of this size may come. What has to go for it is added to `dropped`.
    pub(super) fn room(&mut self, size: u64, dropped: &mut Vec<C>) -> Room {
        while !self.fits(size, |_| true, true) {
            let idle = self.held.iter().filter(|(_, held)| held.is_idle() && is_small(held.size) == is_small(size));
            let Some(oldest) = idle.min_by_key(|(_, held)| held.used_at).map(|(hash, _)| *hash) else {
                let fits_at_last = self.fits(size, |held| held.paths > 0, false);
                return if fits_at_last { Room::Later } else { Room::Never };
            };
            dropped.extend(self.remove(&oldest));
        }
        Room::Now
    }

    /// Whether there is room beside these. One file is admitted whatever its size.
    fn fits(&self, size: u64, counts: impl Fn(&Held<C>) -> bool, reserved: bool) -> bool {
        let bound = if is_small(size) { self.small } else { self.large };
        let held = self.held.values().filter(|held| counts(held)).map(|held| held.size);
        let reserved = self.reserved.values().copied().filter(|_| reserved);
        let sizes = held.chain(reserved).filter(|other| is_small(*other) == is_small(size));
        let (files, bytes) = sizes.fold((0, 0_u64), |(files, bytes), size| (files + 1, bytes.saturating_add(size)));
        files == 0 || (files < bound.files && bytes.saturating_add(size) <= bound.bytes)
    }

    /// Keeps room for a file that has no hash yet.
    pub(super) fn reserve(&mut self, ticket: u64, size: u64) {
        self.reserved.insert(ticket, size);
    }

    pub(super) fn release(&mut self, ticket: u64) -> bool {
        self.reserved.remove(&ticket).is_some()
    }

    /// Puts a file there for which there is room.
    pub(super) fn insert(&mut self, hash: FileHash, content: C, size: u64, coming: bool) {
        self.clock += 1;
        self.held.insert(hash, Held { content, size, coming, users: 0, paths: 0, used_at: self.clock });
    }

    /// A file that was coming is there.
    pub(super) fn arrived(&mut self, hash: &FileHash) {
        if let Some(held) = self.held.get_mut(hash) {
            held.coming = false;
        }
    }

    pub(super) fn remove(&mut self, hash: &FileHash) -> Option<C> {
        self.held.remove(hash).map(|held| held.content)
    }

    /// Takes out a file that nobody needs.
    pub(super) fn remove_if_idle(&mut self, hash: &FileHash) -> Option<C> {
        self.held.get(hash).is_some_and(Held::is_idle).then(|| self.remove(hash)).flatten()
    }

    /// One more offer, or with `false` one less.
    pub(super) fn used(&mut self, hash: &FileHash, more: bool) {
        self.clock += 1;
        if let Some(held) = self.held.get_mut(hash) {
            held.used_at = self.clock;
            held.users = if more { held.users + 1 } else { held.users.saturating_sub(1) };
        }
    }

    /// One more path, or with `false` one less.
    pub(super) fn meant(&mut self, hash: &FileHash, more: bool) {
        self.clock += 1;
        if let Some(held) = self.held.get_mut(hash) {
            held.used_at = self.clock;
            held.paths = if more { held.paths + 1 } else { held.paths.saturating_sub(1) };
        }
    }

    /// How many files there are and how many bytes they have.
    pub(super) fn usage(&self) -> (usize, u64) {
        (self.held.len(), self.held.values().map(|held| held.size).sum())
    }
}

fn is_small(size: u64) -> bool {
    size <= SMALL
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Bound = Bound { files: 2, bytes: 1000 };

    fn hash(number: u8) -> FileHash {
        FileHash::of(&[number])
    }

    fn shelf() -> Shelf<u8> {
        Shelf::new(TWO, Bound { files: 2, bytes: 10 * SMALL })
    }

    #[test]
    fn what_nobody_needs_goes_oldest_first() {
        let (mut shelf, mut dropped) = (shelf(), Vec::new());
        for number in 0..3 {
            assert_eq!(shelf.room(1, &mut dropped), Room::Now);
            shelf.insert(hash(number), number, 1, false);
        }
        assert_eq!(dropped, [0]);
        shelf.used(&hash(1), true);
        shelf.used(&hash(1), false);
        assert_eq!(shelf.room(1, &mut dropped), Room::Now);
        assert_eq!(dropped, [0, 2]);
    }

    #[test]
    fn what_is_needed_for_a_while_is_waited_for_and_what_was_pushed_here_is_not() {
        let (mut shelf, mut dropped) = (shelf(), Vec::new());
        shelf.insert(hash(0), 0, 1, true);
        shelf.insert(hash(1), 1, 1, false);
        shelf.used(&hash(1), true);
        assert_eq!(shelf.room(1, &mut dropped), Room::Later);
        shelf.arrived(&hash(0));
        shelf.meant(&hash(0), true);
        assert_eq!(shelf.room(1, &mut dropped), Room::Later);
        shelf.used(&hash(1), false);
        shelf.meant(&hash(1), true);
        assert_eq!(shelf.room(1, &mut dropped), Room::Never);
        assert_eq!(shelf.room(SMALL + 1, &mut dropped), Room::Now, "another kind of file");
        shelf.meant(&hash(1), false);
        assert_eq!(shelf.room(1, &mut dropped), Room::Now);
        assert_eq!(dropped, [1]);
    }

    #[test]
    fn one_file_is_admitted_whatever_its_size_and_a_reservation_counts() {
        let (mut shelf, mut dropped) = (shelf(), Vec::new());
        assert_eq!(shelf.room(u64::MAX, &mut dropped), Room::Now);
        shelf.reserve(7, u64::MAX);
        assert_eq!(shelf.room(SMALL + 1, &mut dropped), Room::Later);
        assert!(shelf.release(7) && !shelf.release(7));
        assert_eq!(shelf.room(SMALL + 1, &mut dropped), Room::Now);
    }
}
