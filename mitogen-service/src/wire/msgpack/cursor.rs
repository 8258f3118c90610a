//! Reading values one after the other, without serde.

use std::str;

use rmp::Marker;

use super::{ENDED, Kind, Malformed, NOT_UTF8, OVERFULL, RESERVED, TRAILING, kind};

/// Reads values one after the other. After an error its place is not defined.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    data: &'a [u8],
    /// Invariant: `at <= data.len()`.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `data`.
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.data[self.at..]
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.data.len()
    }

    /// Fails unless everything has been read.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.wrong(TRAILING)) }
    }

    /// Enters an array: how many values follow that belong to it.
    pub(crate) fn array_len(&mut self) -> Result<usize, Malformed> {
        self.enter(Kind::Array, "an array is expected")
    }

    /// Enters an array of exactly `len` values.
    pub(crate) fn array_of(&mut self, len: usize) -> Result<(), Malformed> {
        let at = self.at;
        if self.array_len()? == len {
            return Ok(());
        }
        Err(Malformed { what: "an array has the wrong length", at })
    }

    /// Enters a map: how many pairs of key and value follow that belong to it.
    pub(crate) fn map_len(&mut self) -> Result<usize, Malformed> {
        Ok(self.enter(Kind::Map, "a map is expected")? / 2)
    }

    /// A string.
    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        let at = self.at;
        let body = self.body_of(Kind::String, "a string is expected")?;
        str::from_utf8(body).map_err(|_| Malformed { what: NOT_UTF8, at })
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.body_of(Kind::Binary, "a byte string is expected")
    }

    /// A truth value.
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.rest().first().map(|&first| Marker::from_u8(first)) {
            Some(marker @ (Marker::True | Marker::False)) => {
                self.at += 1;
                Ok(marker == Marker::True)
            }
            _ => Err(self.wrong("a boolean is expected")),
        }
    }

    /// An integer that is not negative, however it is written: some encoders write signed ones
    /// only.
    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        let at = self.at;
        let expected = Malformed { what: "an unsigned integer is expected", at };
        let value = match self.marker()? {
            Marker::FixPos(value) => Some(u64::from(value)),
            Marker::U8 => Some(self.number(1)?),
            Marker::U16 => Some(self.number(2)?),
            Marker::U32 => Some(self.number(4)?),
            Marker::U64 => Some(self.number(8)?),
            Marker::I8 => positive(self.number(1)?, i8::MAX as u64),
            Marker::I16 => positive(self.number(2)?, i16::MAX as u64),
            Marker::I32 => positive(self.number(4)?, i32::MAX as u64),
            Marker::I64 => positive(self.number(8)?, i64::MAX as u64),
            _ => None,
        };
        value.ok_or(expected)
    }

    /// An integer that fits into 32 bits, as ids and handles do.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let at = self.at;
        u32::try_from(self.uint()?).map_err(|_| Malformed { what: "an integer is too large", at })
    }

    /// `None` for nil, else what `read` makes of the value.
    pub(crate) fn nil_or<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.rest().first() == Some(&Marker::Null.to_u8()) {
            self.at += 1;
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Passes over one whole value and returns it as it is written. Strings are not looked into,
    /// and depth has no bound: nothing is kept a level.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        let mut pending = Pending::one();
        while !pending.is_done() {
            let head = self.head()?;
            self.take(head.body)?;
            pending.replace(head.items, self)?;
        }
        Ok(&self.data[start..self.at])
    }

    /// Passes over one map and returns it as it is written.
    pub(crate) fn raw_map(&mut self) -> Result<&'a [u8], Malformed> {
        let at = self.at;
        let raw = self.skip()?;
        if kind(raw) == Kind::Map.name() {
            return Ok(raw);
        }
        Err(Malformed { what: "a map is expected", at })
    }

    /// Looks whether the next value is a map, and stays where it is.
    pub(crate) fn expect_map(&self) -> Result<(), Malformed> {
        if kind(self.rest()) == Kind::Map.name() {
            return Ok(());
        }
        Err(Malformed { what: "a map is expected", at: self.at })
    }

    /// How much has been read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The kind of the next value, and how many bytes, values or pairs it says that it has, whatever is there.
    pub(super) fn announcement(&mut self) -> Result<(Kind, u64), Malformed> {
        let at = self.at;
        let marker = self.marker()?;
        let kind = Kind::of(marker).ok_or(Malformed { what: RESERVED, at })?;
        Ok((kind, self.announced(marker)?))
    }

    fn enter(&mut self, kind: Kind, expected: &'static str) -> Result<usize, Malformed> {
        let at = self.at;
        let head = self.head()?;
        if head.kind != kind {
            return Err(Malformed { what: expected, at });
        }
        // `head` has held the count against the bytes that are left, so it fits.
        usize::try_from(head.items).map_err(|_| Malformed { what: OVERFULL, at })
    }

    fn body_of(&mut self, kind: Kind, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let at = self.at;
        let head = self.head()?;
        if head.kind != kind {
            return Err(Malformed { what: expected, at });
        }
        self.take(head.body)
    }

    /// A marker and the length or count that goes with it, which is one that the rest of the
    /// payload can hold.
    pub(super) fn head(&mut self) -> Result<Head, Malformed> {
        let at = self.at;
        let marker = self.marker()?;
        let kind = Kind::of(marker).ok_or(Malformed { what: RESERVED, at })?;
        let announced = self.announced(marker)?;
        let (body, items) = match kind {
            Kind::Array => (0, announced),
            Kind::Map => (0, announced.saturating_mul(2)),
            _ => (announced, 0),
        };
        let left = self.rest().len() as u64;
        if items > left || body > left {
            let what = if items > 0 { OVERFULL } else { ENDED };
            return Err(Malformed { what, at });
        }
        // `body` is at most the length of a slice.
        Ok(Head { kind, body: body as usize, items })
    }

    /// The bytes, items or pairs that `marker` stands before.
    // Asked for each value that arrives, as the next one is; with a second caller the compiler would call it
    // there.
    #[inline(always)]
    fn announced(&mut self, marker: Marker) -> Result<u64, Malformed> {
        use Marker as M;
        Ok(match marker {
            M::FixPos(_) | M::FixNeg(_) | M::Null | M::True | M::False | M::Reserved => 0,
            M::U8 | M::I8 => 1,
            M::U16 | M::I16 => 2,
            M::U32 | M::I32 | M::F32 => 4,
            M::U64 | M::I64 | M::F64 => 8,
            M::FixStr(len) | M::FixArray(len) | M::FixMap(len) => u64::from(len),
            M::Str8 | M::Bin8 => self.number(1)?,
            M::Str16 | M::Bin16 | M::Array16 | M::Map16 => self.number(2)?,
            M::Str32 | M::Bin32 | M::Array32 | M::Map32 => self.number(4)?,
            // An extension has a byte for its type besides.
            M::FixExt1 => 2,
            M::FixExt2 => 3,
            M::FixExt4 => 5,
            M::FixExt8 => 9,
            M::FixExt16 => 17,
            M::Ext8 => self.number(1)? + 1,
            M::Ext16 => self.number(2)? + 1,
            M::Ext32 => self.number(4)? + 1,
        })
    }

    fn marker(&mut self) -> Result<Marker, Malformed> {
        let first = *self.rest().first().ok_or_else(|| self.wrong(ENDED))?;
        self.at += 1;
        Ok(Marker::from_u8(first))
    }

    /// A big-endian number of `width` bytes, at most eight.
    fn number(&mut self, width: usize) -> Result<u64, Malformed> {
        Ok(self.take(width)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.rest().get(..len).ok_or_else(|| self.wrong(ENDED))?;
        self.at += len;
        Ok(taken)
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }
}

/// A signed number as it is written, unless its sign is set.
fn positive(written: u64, max: u64) -> Option<u64> {
    (written <= max).then_some(written)
}

/// A value without what it holds.
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Bytes that belong to the value and follow the head.
    pub(super) body: usize,
    /// Values that belong to it and follow the head; a map's keys count.
    pub(super) items: u64,
}

/// Values that have been announced and not been read, on all levels together.
pub(super) struct Pending(u64);

impl Pending {
    pub(super) fn one() -> Self {
        Self(1)
    }

    pub(super) fn is_done(&self) -> bool {
        self.0 == 0
    }

    /// One value has been read and brought `items` others. Each needs a byte at least.
    pub(super) fn replace(&mut self, items: u64, cursor: &Cursor<'_>) -> Result<(), Malformed> {
        self.0 = (self.0 - 1).saturating_add(items);
        if self.0 > cursor.rest().len() as u64 {
            let what = if items == 0 { ENDED } else { OVERFULL };
            return Err(Malformed { what, at: cursor.at });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_can_be_read() {
        let mut cursor = Cursor::new(b"\x96\xa1x\xc4\x01y\xc3\xcc\xff\xc0\x81\x01\x02\x05");
        assert_eq!(cursor.array_len(), Ok(6));
        assert_eq!(cursor.str(), Ok("x"));
        assert_eq!(cursor.bytes(), Ok(&b"y"[..]));
        assert_eq!(cursor.bool(), Ok(true));
        assert_eq!(cursor.nil_or(Cursor::uint), Ok(Some(255)));
        assert_eq!(cursor.nil_or(Cursor::uint), Ok(None));
        assert_eq!(cursor.clone().map_len(), Ok(1));
        assert_eq!(cursor.raw_map(), Ok(&b"\x81\x01\x02"[..]));
        assert_eq!(cursor.rest(), b"\x05");
        assert!(cursor.end().is_err());
        assert_eq!(cursor.u32(), Ok(5));
        assert_eq!(cursor.end(), Ok(()));
        assert!(cursor.is_empty());
    }

    #[test]
    fn the_wrong_shape_is_an_error() {
        for raw in [&b""[..], b"\xc0", b"\xc1", b"\xff", b"\xca\x00\x00\x00\x00"] {
            let cursor = Cursor::new(raw);
            assert!(cursor.clone().str().is_err());
            assert!(cursor.clone().bytes().is_err());
            assert!(cursor.clone().bool().is_err());
            assert!(cursor.clone().uint().is_err());
            assert!(cursor.clone().array_len().is_err());
            assert!(cursor.clone().map_len().is_err());
            assert!(cursor.clone().raw_map().is_err());
        }
    }

    #[test]
    fn integers_may_be_written_in_any_width_but_not_below_zero() {
        let fives: [&[u8]; 9] = [
            b"\x05",
            b"\xcc\x05",
            b"\xcd\x00\x05",
            b"\xce\x00\x00\x00\x05",
            b"\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
            b"\xd0\x05",
            b"\xd1\x00\x05",
            b"\xd2\x00\x00\x00\x05",
            b"\xd3\x00\x00\x00\x00\x00\x00\x00\x05",
        ];
        for five in fives {
            assert_eq!(Cursor::new(five).u32(), Ok(5), "{five:x?}");
        }
        assert!(Cursor::new(b"\xd0\xff").uint().is_err());
        assert!(Cursor::new(b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff").uint().is_err());
        assert!(Cursor::new(b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00").u32().is_err());
    }
}
