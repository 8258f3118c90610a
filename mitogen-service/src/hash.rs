//! A hash for small keys, such as the numbers of handles, contexts and streams.
//!
//! The library's own hash is made for keys of any kind and takes a multiple of the time; a call looks up
//! about ten of these. Keys may come from strangers, so each process has a seed that nobody can guess.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// A map whose keys are small.
pub(crate) type SmallMap<K, V> = HashMap<K, V, SmallState>;

/// Makes [`SmallHasher`]s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmallState {
    seed: u64,
}

impl Default for SmallState {
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        Self { seed: *SEED.get_or_init(|| RandomState::new().build_hasher().finish()) }
    }
}

impl BuildHasher for SmallState {
    type Hasher = SmallHasher;

    fn build_hasher(&self) -> SmallHasher {
        SmallHasher { state: self.seed, seed: self.seed }
    }
}

/// Multiplies, and folds both halves of the product together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmallHasher {
    state: u64,
    seed: u64,
}

/// An odd number without a pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for SmallHasher {
    fn finish(&self) -> u64 {
        fold(self.state, self.seed | 1)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(word));
        }
        let rest = chunks.remainder();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_ne_bytes(word) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.state = fold(self.state ^ number, FACTOR);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_that_follow_each_other_are_spread() {
        let state = SmallState::default();
        for shift in [0, 8, 16, 32] {
            let hashes: Vec<_> = (0..4096u64).map(|number| state.hash_one(number << shift)).collect();
            assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 4096);
            // What a table of 4096 places uses of them.
            let places: HashSet<_> = hashes.iter().map(|hash| hash & 4095).collect();
            assert!(places.len() > 2000, "{}", places.len());
        }
    }

    #[test]
    fn texts_of_all_lengths_differ() {
        let state = SmallState::default();
        let texts: Vec<_> = (0..100).map(|length| "x".repeat(length)).collect();
        let hashes: HashSet<_> = texts.iter().map(|text| state.hash_one(text.as_str())).collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
