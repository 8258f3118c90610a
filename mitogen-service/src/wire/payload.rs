//! The payload that this thread is decoding, so that a [`Blob`](super::Blob) can share its memory.
//!
//! Serde hands a visitor a plain slice and nothing that tells whom it belongs to. A thread-local
//! keeps the owner for as long as decoding runs. This file must not know what is decoded.

use std::cell::RefCell;

use bytes::Bytes;

thread_local! {
    static CURRENT: RefCell<Option<Bytes>> = const { RefCell::new(None) };
}

/// Slices below this are cheaper copied than shared.
const WORTH_SHARING: usize = 512;

/// A slice is shared when it is at least one part in this many of its payload. Otherwise a few
/// bytes that somebody keeps would keep a whole message in memory, and every bound that counts
/// bytes would count the wrong ones.
const MAX_WASTE: usize = 8;

/// Runs `decode` with `payload` as the current one. Scopes nest; the outer one is back afterwards,
/// panic or not.
pub(crate) fn with<R>(payload: Bytes, decode: impl FnOnce() -> R) -> R {
    let _outer = Outer(CURRENT.with(|current| current.replace(Some(payload))));
    decode()
}

/// The bytes of `slice`, shared with the current payload if they lie in it and that is worth it,
/// else copied.
pub(crate) fn bytes(slice: &[u8]) -> Bytes {
    CURRENT.with_borrow(|current| match current {
        Some(payload) if worth_sharing(payload, slice) && holds(payload, slice) => payload.slice_ref(slice),
        _ => Bytes::copy_from_slice(slice),
    })
}

/// Puts the payload of the outer scope back.
struct Outer(Option<Bytes>);

impl Drop for Outer {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

fn worth_sharing(payload: &[u8], slice: &[u8]) -> bool {
    slice.len() >= WORTH_SHARING && slice.len() >= payload.len() / MAX_WASTE
}

/// Whether `slice` lies inside `payload`. Both are alive, so equal addresses are the same memory.
fn holds(payload: &[u8], slice: &[u8]) -> bool {
    let (outer, inner) = (payload.as_ptr_range(), slice.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn is_shared(payload: &Bytes, slice: &[u8]) -> bool {
        bytes(slice).as_ptr() == slice.as_ptr() && holds(payload, slice)
    }

    #[test]
    fn a_large_part_of_the_payload_shares_its_memory() {
        let payload = Bytes::from(vec![7; 8000]);
        with(payload.clone(), || {
            assert!(is_shared(&payload, &payload[..]));
            assert!(is_shared(&payload, &payload[7000..]));
        });
        assert!(!is_shared(&payload, &payload[..]));
    }

    #[test]
    fn a_small_part_does_not_hold_the_whole() {
        let payload = Bytes::from(vec![7; 80_000]);
        with(payload.clone(), || {
            assert!(!is_shared(&payload, &payload[..9_999]));
            assert!(is_shared(&payload, &payload[..10_000]));
        });
        let payload = Bytes::from(vec![7; 600]);
        with(payload.clone(), || {
            assert!(!is_shared(&payload, &payload[..511]));
            assert!(!is_shared(&payload, &payload[..0]));
        });
    }

    #[test]
    fn other_memory_is_copied() {
        let payload = Bytes::from(vec![7; 8000]);
        let other = vec![7; 8000];
        with(payload.clone(), || {
            let copy = bytes(&other);
            assert_ne!(copy.as_ptr(), other.as_ptr());
            assert_eq!(copy, other);
        });
    }

    #[test]
    fn scopes_nest_and_end_with_a_panic() {
        let outer = Bytes::from(vec![1; 8000]);
        let inner = Bytes::from(vec![2; 8000]);
        with(outer.clone(), || {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                with(inner.clone(), || {
                    assert!(is_shared(&inner, &inner));
                    panic!("in the middle of decoding");
                });
            }));
            assert!(panicked.is_err());
            assert!(is_shared(&outer, &outer));
            assert!(!is_shared(&inner, &inner));
        });
    }
}
