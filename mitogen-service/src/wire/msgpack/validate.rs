//! The check that stands before serde.

use std::str;

use super::cursor::{Cursor, Pending};
use super::{Kind, Malformed, NOT_UTF8, TOO_DEEP};

/// Checks that `payload` is exactly one well-formed value of at most `max_depth` levels.
///
/// Arrays, maps and extensions count as a level each. Strings have to be UTF-8. Every announced
/// length and count is held against the bytes that are left, so an accepted payload has no more
/// values than bytes.
///
/// # Errors
///
/// The first thing that is wrong.
pub(crate) fn validate(payload: &[u8], max_depth: usize) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(payload);
    let mut levels = Levels::new();
    let mut pending = Pending::one();
    while !pending.is_done() {
        let at = cursor.at;
        let head = cursor.head()?;
        if head.kind.nests() && levels.depth >= max_depth {
            return Err(Malformed { what: TOO_DEEP, at });
        }
        let body = cursor.take(head.body)?;
        if head.kind == Kind::String && !body.is_ascii() && str::from_utf8(body).is_err() {
            return Err(Malformed { what: NOT_UTF8, at });
        }
        pending.replace(head.items, &cursor)?;
        levels.enter(head.items);
    }
    cursor.end()
}

/// Levels that are kept without an allocation; honest payloads hardly ever have more.
const NEAR: usize = 16;

/// How many values each open array or map still waits for, outermost first.
struct Levels {
    near: [u64; NEAR],
    far: Vec<u64>,
    /// Invariant: the first `depth.min(NEAR)` of `near` are in use, and all
    /// `depth.saturating_sub(NEAR)` of `far`.
    depth: usize,
}

impl Levels {
    fn new() -> Self {
        Self { near: [0; NEAR], far: Vec::new(), depth: 0 }
    }

    /// A value with `items` of its own has been read on the innermost level.
    fn enter(&mut self, items: u64) {
        if let Some(left) = self.innermost() {
            *left = left.saturating_sub(1);
        }
        if items > 0 {
            self.push(items);
        }
        while self.innermost().is_some_and(|left| *left == 0) {
            self.pop();
        }
    }

    fn innermost(&mut self) -> Option<&mut u64> {
        self.far.last_mut().or(self.depth.checked_sub(1).and_then(|at| self.near.get_mut(at)))
    }

    fn push(&mut self, items: u64) {
        match self.near.get_mut(self.depth) {
            Some(level) => *level = items,
            None => self.far.push(items),
        }
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.far.pop();
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{ENDED, MAX_DEPTH, OVERFULL, RESERVED, TRAILING};
    use super::*;

    /// `levels` arrays, each the only value of the one around it, and nil in the middle.
    fn nested(levels: usize) -> Vec<u8> {
        let mut payload = vec![0x91; levels];
        payload.push(0xc0);
        payload
    }

    fn complaint(payload: &[u8]) -> Option<(&'static str, usize)> {
        validate(payload, MAX_DEPTH).err().map(|malformed| (malformed.what, malformed.at))
    }

    #[test]
    fn lengths_and_counts_are_held_against_what_is_there() {
        let bad: [(&[u8], (&str, usize)); 12] = [
            (b"", (ENDED, 0)),
            (b"\xdd\xff\xff\xff\xff", (OVERFULL, 0)),
            (b"\xdf\xff\xff\xff\xff\x00\x00\x00", (OVERFULL, 0)),
            (b"\x82\xc0\xc0\xc0", (OVERFULL, 0)),
            // Each count alone would fit, not both.
            (b"\x94\x93\xc0\xc0\xc0\xc0", (OVERFULL, 2)),
            (b"\x92\xc0", (OVERFULL, 0)),
            (b"\xdb\xff\xff\xff\xff", (ENDED, 0)),
            (b"\xc6\x00\x00\x00\x02x", (ENDED, 0)),
            (b"\xc9\xff\xff\xff\xff\x00", (ENDED, 0)),
            (b"\xd8\x00", (ENDED, 0)),
            (b"\xcf\x00", (ENDED, 0)),
            (b"\xdc\x00", (ENDED, 1)),
        ];
        for (payload, expected) in bad {
            assert_eq!(complaint(payload), Some(expected), "{payload:x?}");
        }
    }

    #[test]
    fn what_no_value_can_be_is_refused() {
        assert_eq!(complaint(b"\xc1"), Some((RESERVED, 0)));
        assert_eq!(complaint(b"\x92\xc0\xc1"), Some((RESERVED, 2)));
        assert_eq!(complaint(b"\xa2\xc3\x28"), Some((NOT_UTF8, 0)));
        assert_eq!(complaint(b"\x81\xa1\xff\xc0"), Some((NOT_UTF8, 1)));
        assert_eq!(complaint(b"\xc0\xc0"), Some((TRAILING, 1)));
    }

    #[test]
    fn arrays_maps_and_extensions_are_levels() {
        for depth in [0, 1, NEAR - 1, NEAR, NEAR + 1, MAX_DEPTH] {
            assert_eq!(validate(&nested(depth), depth), Ok(()));
            let at = depth;
            assert_eq!(validate(&nested(depth + 1), depth), Err(Malformed { what: TOO_DEEP, at }));
        }
        for level in [&b"\x90"[..], b"\x80", b"\xd4\x01\x00"] {
            assert!(validate(level, 0).is_err());
            assert!(validate(level, 1).is_ok());
        }
    }

    #[test]
    fn a_level_ends_with_its_last_value() {
        // [[[nil]], {1: [nil]}, [], nil] is never deeper than three, in whichever order.
        let payload = b"\x94\x91\x91\xc0\x81\x01\x91\xc0\x90\xc0";
        assert!(validate(payload, 3).is_ok());
        assert!(validate(payload, 2).is_err());
        // As many levels as `near` holds and one more, twice, so that what is left of the first is
        // seen.
        let twice = [&[0x92][..], &nested(NEAR), &nested(NEAR)].concat();
        assert!(validate(&twice, NEAR + 1).is_ok());
        assert!(validate(&twice, NEAR).is_err());
    }

    #[test]
    fn a_million_levels_are_an_error_and_no_recursion() {
        let payload = nested(1_000_000);
        assert_eq!(complaint(&payload), Some((TOO_DEEP, MAX_DEPTH)));
        assert_eq!(validate(&payload, usize::MAX), Ok(()));
        assert_eq!(Cursor::new(&payload).skip(), Ok(&payload[..]));
    }

    #[test]
    fn the_deepest_accepted_value_fits_into_a_threads_stack() {
        // An enum written as a map and an option: the paths that serde's own guard does not count.
        #[derive(Deserialize)]
        enum Deep {
            More(Option<Box<Deep>>),
        }
        let mut payload = b"\x81\xa4More".repeat(MAX_DEPTH);
        payload.push(0xc0);
        validate(&payload, MAX_DEPTH).unwrap();
        let (mut deep, mut levels) = (rmp_serde::from_slice::<Deep>(&payload).unwrap(), 1);
        while let Deep::More(Some(inner)) = deep {
            (deep, levels) = (*inner, levels + 1);
        }
        assert_eq!(levels, MAX_DEPTH);
    }
}
