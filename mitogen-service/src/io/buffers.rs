//! Memory of large messages, to be used again.
//!
//! Memory that is fresh from the system costs as much as to copy a message: each page of it is cleared,
//! and makes the processor stop for it. So who drops the payload of a large message gives its memory
//! back here, and one of the next messages of about that size arrives in it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::sync::Mutex;
use crate::wire::Buffers;

/// How many bytes are kept at most, in one router.
const MOST: usize = 4 * 1024 * 1024;

/// A buffer that is larger than this is not kept: it would drive all others out.
const LARGEST: usize = MOST / 4;

/// How much larger a buffer may be than what is asked for.
const SLACK: usize = 4 * 1024;

/// What one router keeps.
#[derive(Default)]
pub(crate) struct Spare {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The last one that came back is the last one here, and the first to be used: it is in the caches.
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (length..=length.saturating_add(SLACK)).contains(&buffer.capacity());
        let at = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(at)?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer; gives those that have to go for it, the oldest first.
    fn put(&mut self, buffer: Vec<u8>) -> Vec<Vec<u8>> {
        if buffer.capacity() > LARGEST {
            return vec![buffer];
        }
        self.bytes += buffer.capacity();
        self.buffers.push_back(buffer);
        let mut gone = Vec::new();
        while self.bytes > MOST
            && let Some(oldest) = self.buffers.pop_front()
        {
            self.bytes -= oldest.capacity();
            gone.push(oldest);
        }
        gone
    }
}

impl Buffers for Spare {
    fn take(&self, length: usize) -> Option<Vec<u8>> {
        self.kept.lock().take(length)
    }

    fn share(self: Arc<Self>, buffer: Vec<u8>, from: usize) -> Bytes {
        Bytes::from_owner(Lent { buffer, from, spare: self })
    }
}

/// A payload whose memory comes back.
struct Lent {
    buffer: Vec<u8>,
    /// Where the payload begins.
    from: usize,
    spare: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.from..]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let gone = self.spare.kept.lock().put(buffer);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_for_what_has_about_that_size() {
        let spare = Arc::new(Spare::default());
        assert_eq!(spare.take(100_000), None);
        let payload = spare.clone().share(vec![7; 100_000], 0);
        let (at, other) = (payload.as_ptr(), payload.slice(5..));
        drop(payload);
        assert_eq!(spare.take(100_000), None, "somebody has a part of it");
        drop(other);
        assert_eq!(spare.take(100_001), None);
        assert_eq!(spare.take(100_000 - SLACK - 1), None);
        let again = spare.take(100_000 - SLACK).unwrap();
        assert!(again.is_empty() && again.as_ptr() == at);
        assert_eq!(spare.take(100_000), None);
        assert_eq!(spare.kept.lock().bytes, 0);
        assert_eq!(spare.share(vec![1, 2, 3, 4], 1), [2, 3, 4][..]);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let spare = Arc::new(Spare::default());
        drop(spare.clone().share(vec![0; LARGEST + 1], 0));
        assert_eq!(spare.kept.lock().bytes, 0);
        let payloads: Vec<_> =
            (0..9).map(|more| spare.clone().share(vec![0; LARGEST / 2 - 2 * SLACK * more], 0)).collect();
        drop(payloads);
        assert!(spare.kept.lock().bytes <= MOST);
        assert!(
            spare.take(LARGEST / 2).is_none() && spare.take(LARGEST / 2 - 16 * SLACK).is_some(),
            "the oldest is gone"
        );
    }
}
