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
        let marker = Marker::from_u8(self.first()?);
        self.at += 1;
        let value = match marker {
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

    /// The bytes of a string that has been validated, to be compared.
    pub(crate) fn str_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.body_of(Kind::String, "a string is expected")
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
    // Asked for each value that arrives.
    #[inline(always)]
    pub(super) fn announcement(&mut self) -> Result<(Kind, u64), Malformed> {
        let first = self.first()?;
        let Shape { kind, width, plus } = SHAPES[usize::from(first)];
        let kind = kind.ok_or_else(|| self.wrong(RESERVED))?;
        self.at += 1;
        // Most values are short enough for their first byte to say how long.
        let number = if width == 0 { 0 } else { self.number(width.into())? };
        Ok((kind, number + u64::from(plus)))
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
        let (kind, announced) = self.announcement()?;
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

    /// The first byte of the next value, which tells its kind.
    #[inline(always)]
    fn first(&self) -> Result<u8, Malformed> {
        self.rest().first().copied().ok_or_else(|| self.wrong(ENDED))
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

/// What the first byte of a value tells.
#[derive(Clone, Copy)]
struct Shape {
    /// `None` for the one byte that MessagePack never uses.
    kind: Option<Kind>,
    /// How many bytes follow that tell how many bytes, values or pairs the value has.
    width: u8,
    /// How many it has beside those.
    plus: u8,
}

/// What each first byte tells: one look instead of a decision for each value that arrives.
static SHAPES: [Shape; 256] = {
    let mut shapes = [Shape { kind: None, width: 0, plus: 0 }; 256];
    let mut first = 0;
    while first < shapes.len() {
        shapes[first] = Shape::of(first as u8);
        first += 1;
    }
    shapes
};

impl Shape {
    const fn of(first: u8) -> Self {
        match first {
            0x00..=0x7f | 0xe0..=0xff => Self::with(Kind::Integer, 0),
            0x80..=0x8f => Self::with(Kind::Map, first & 0x0f),
            0x90..=0x9f => Self::with(Kind::Array, first & 0x0f),
            0xa0..=0xbf => Self::with(Kind::String, first & 0x1f),
            0xc0 => Self::with(Kind::Nil, 0),
            0xc1 => Self { kind: None, width: 0, plus: 0 },
            0xc2 | 0xc3 => Self::with(Kind::Boolean, 0),
            0xc4..=0xc6 => Self::counted(Kind::Binary, 1 << (first - 0xc4)),
            // An extension has a byte for its type besides.
            0xc7..=0xc9 => Self { plus: 1, ..Self::counted(Kind::Extension, 1 << (first - 0xc7)) },
            0xca | 0xcb => Self::with(Kind::Float, 4 << (first - 0xca)),
            0xcc..=0xcf => Self::with(Kind::Integer, 1 << (first - 0xcc)),
            0xd0..=0xd3 => Self::with(Kind::Integer, 1 << (first - 0xd0)),
            0xd4..=0xd8 => Self::with(Kind::Extension, 1 + (1 << (first - 0xd4))),
            0xd9..=0xdb => Self::counted(Kind::String, 1 << (first - 0xd9)),
            0xdc | 0xdd => Self::counted(Kind::Array, 2 << (first - 0xdc)),
            0xde | 0xdf => Self::counted(Kind::Map, 2 << (first - 0xde)),
        }
    }

    /// A value that has so many bytes, values or pairs.
    const fn with(kind: Kind, plus: u8) -> Self {
        Self { kind: Some(kind), width: 0, plus }
    }

    /// One that has as many as a number of `width` bytes tells.
    const fn counted(kind: Kind, width: u8) -> Self {
        Self { kind: Some(kind), width, plus: 0 }
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
    fn the_first_byte_tells_what_it_tells_elsewhere() {
        use Marker as M;
        for first in 0..=u8::MAX {
            let marker = Marker::from_u8(first);
            let (width, plus) = match marker {
                M::FixPos(_) | M::FixNeg(_) | M::Null | M::True | M::False | M::Reserved => (0, 0),
                M::U8 | M::I8 => (0, 1),
                M::U16 | M::I16 => (0, 2),
                M::U32 | M::I32 | M::F32 => (0, 4),
                M::U64 | M::I64 | M::F64 => (0, 8),
                M::FixStr(len) | M::FixArray(len) | M::FixMap(len) => (0, len),
                M::Str8 | M::Bin8 => (1, 0),
                M::Str16 | M::Bin16 | M::Array16 | M::Map16 => (2, 0),
                M::Str32 | M::Bin32 | M::Array32 | M::Map32 => (4, 0),
                M::FixExt1 => (0, 2),
                M::FixExt2 => (0, 3),
                M::FixExt4 => (0, 5),
                M::FixExt8 => (0, 9),
                M::FixExt16 => (0, 17),
                M::Ext8 => (1, 1),
                M::Ext16 => (2, 1),
                M::Ext32 => (4, 1),
            };
            let shape = SHAPES[usize::from(first)];
            assert_eq!((shape.kind, shape.width, shape.plus), (Kind::of(marker), width, plus), "{first:#x}");
        }
    }

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
