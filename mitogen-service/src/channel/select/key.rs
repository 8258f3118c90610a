//! What the members of a select are called.

use std::fmt;

/// The name of a member of a [`Select`](crate::Select): a text or a number.
///
/// ```
/// use mitogen_service::Key;
///
/// let (words, seven) = (Key::from("words"), Key::from(7_u8));
/// assert_eq!(words, "words");
/// assert_eq!(seven, 7_u64);
/// assert_eq!(format!("{words} {seven}"), "words 7");
/// // A number is another key than its digits.
/// assert_ne!(seven, "7");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Inner);

/// Each number has one form, whatever type it came in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Inner {
    Negative(i128),
    Number(u128),
    Text(String),
}

impl Key {
    /// The number that it is, if it is one.
    pub(crate) fn number(&self) -> Option<u64> {
        match &self.0 {
            Inner::Number(number) => u64::try_from(*number).ok(),
            Inner::Negative(_) | Inner::Text(_) => None,
        }
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Inner::Text(text))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Inner::Text(text.to_owned()))
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl PartialEq<str> for Key {
    fn eq(&self, text: &str) -> bool {
        matches!(&self.0, Inner::Text(own) if own == text)
    }
}

impl PartialEq<&str> for Key {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

impl PartialEq<String> for Key {
    fn eq(&self, text: &String) -> bool {
        *self == **text
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Key {
            fn from(number: $integer) -> Self {
                match u128::try_from(number) {
                    Ok(number) => Self(Inner::Number(number)),
                    // What is no `u128` is negative, and so an `i128`.
                    Err(_) => Self(Inner::Negative(number as i128)),
                }
            }
        }

        impl PartialEq<$integer> for Key {
            fn eq(&self, number: &$integer) -> bool {
                let Self(number) = Self::from(*number);
                self.0 == number
            }
        }
    )*};
}

integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Text(text) => f.pad(text),
            Inner::Number(number) => number.fmt(f),
            Inner::Negative(number) => number.fmt(f),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Text(text) => text.fmt(f),
            Inner::Number(number) => number.fmt(f),
            Inner::Negative(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_is_the_same_key_whatever_its_type() {
        assert_eq!(Key::from(7_u8), Key::from(7_i64));
        assert_eq!(Key::from(-1_i8), -1_i128);
        assert_eq!(Key::from(u128::MAX), u128::MAX);
        assert_ne!(Key::from(u64::MAX), -1_i64);
        assert_eq!(Key::from(-5).to_string(), "-5");
    }
}
