//! Where an encoder gave up, which it does not say itself.

use std::fmt::Write;

use super::Kind;
use super::cursor::Cursor;

/// An array or a map whose values were being written.
enum Open {
    Array { at: u64, len: u64 },
    Map { keys: bool, key: String, left: u64 },
}

impl Open {
    /// One value more is written. Gives whether it was the last one.
    fn add(&mut self, value: Option<&[u8]>) -> bool {
        match self {
            Self::Array { at, len } => {
                *at += 1;
                at == len
            }
            Self::Map { keys, key, left } => {
                if *keys {
                    *key = value.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
                }
                *keys = !*keys;
                *left -= 1;
                *left == 0
            }
        }
    }
}

/// The place of the value that is missing at the end of `written`, from the outermost level on: the keys of
/// maps and the positions in arrays, `.shapes[2].path`. Empty on the outermost level itself.
pub(crate) fn place(written: &[u8]) -> String {
    let mut cursor = Cursor::new(written);
    let mut open: Vec<Open> = Vec::new();
    while let Ok((kind, announced)) = cursor.announcement() {
        let mut value = None;
        match kind {
            Kind::Array if announced > 0 => {
                open.push(Open::Array { at: 0, len: announced });
                continue;
            }
            Kind::Map if announced > 0 => {
                open.push(Open::Map { keys: true, key: String::new(), left: announced.saturating_mul(2) });
                continue;
            }
            Kind::Array | Kind::Map => {}
            _ => match cursor.take(usize::try_from(announced).unwrap_or(usize::MAX)) {
                Ok(body) => value = (kind == Kind::String).then_some(body),
                Err(_) => break,
            },
        }
        while open.last_mut().is_some_and(|level| level.add(value.take())) {
            open.pop();
        }
    }
    let mut place = String::new();
    for level in &open {
        // A text takes any amount of writing.
        let _ = match level {
            Open::Array { at, .. } => write!(place, "[{at}]"),
            Open::Map { key, .. } => write!(place, ".{key}"),
        };
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_told_from_the_outermost_level_on() {
        // {"a": 1, "shapes": [nil, {"path":
        let written = b"\x82\xa1a\x01\xa6shapes\x93\xc0\x82\xa4path";
        assert_eq!(place(written), ".shapes[1].path");
        // {"a": {"b": {}}, "c":
        assert_eq!(place(b"\x82\xa1a\x81\xa1b\x80\xa1c"), ".c");
        assert_eq!(place(b"\xdd\xff\xff\xff\xff\x90\x05"), "[2]");
        assert_eq!(place(b""), "");
    }

    #[test]
    fn a_value_that_stops_in_its_middle_is_the_missing_one() {
        assert_eq!(place(b"\x81\xa1a\xa5xy"), ".a");
    }
}
