//! Several paths, which need not be UTF-8.

use std::ffi::OsStr;
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// Any number of paths, which need not be texts.
///
/// A `PathBuf` that is an argument or a result by itself may be any path; one within a `Vec` or a type of the program
/// must be UTF-8. Here each may be any path too: it travels as a string if it is UTF-8, and else as `bin`.
///
/// ```
/// use std::path::{Path, PathBuf};
///
/// use mitogen_service::{AllowAny, Paths, service};
///
/// struct Disk;
///
/// #[service]
/// impl Disk {
///     #[expose(policy = AllowAny)]
///     fn count(&self, paths: Paths) -> usize {
///         paths.iter().filter(|path| path.exists()).count()
///     }
/// }
///
/// let paths = Paths::from(["/etc", "/bin"]);
/// assert_eq!(paths.first().map(PathBuf::as_path), Some(Path::new("/etc")));
/// let same: Paths = [Path::new("/etc"), Path::new("/bin")].into_iter().collect();
/// assert_eq!(paths, same);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Paths(Vec<PathBuf>);

impl Deref for Paths {
    type Target = [PathBuf];

    fn deref(&self) -> &[PathBuf] {
        &self.0
    }
}

impl<P: AsRef<Path>> FromIterator<P> for Paths {
    fn from_iter<I: IntoIterator<Item = P>>(paths: I) -> Self {
        Self(paths.into_iter().map(|path| path.as_ref().to_owned()).collect())
    }
}

impl<P: AsRef<Path>> From<Vec<P>> for Paths {
    fn from(paths: Vec<P>) -> Self {
        paths.into_iter().collect()
    }
}

impl<P: AsRef<Path>> From<&[P]> for Paths {
    fn from(paths: &[P]) -> Self {
        paths.iter().collect()
    }
}

impl<P: AsRef<Path>, const N: usize> From<[P; N]> for Paths {
    fn from(paths: [P; N]) -> Self {
        paths.into_iter().collect()
    }
}

impl From<Paths> for Vec<PathBuf> {
    fn from(paths: Paths) -> Self {
        paths.0
    }
}

impl IntoIterator for Paths {
    type Item = PathBuf;
    type IntoIter = std::vec::IntoIter<PathBuf>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for Paths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|path| One(path)))
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths = Vec::<Own>::deserialize(deserializer)?;
        Ok(Self(paths.into_iter().map(|Own(path)| path).collect()))
    }
}

/// One of them, as it is written.
struct One<'a>(&'a Path);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_bytes(self.0.as_os_str().as_bytes()),
        }
    }
}

/// One of them, as it is read.
struct Own(PathBuf);

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Own;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, as a string or as bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Own, E> {
                Ok(Own(text.into()))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Own, E> {
                Ok(Own(OsStr::from_bytes(bytes).into()))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Own, E> {
                Ok(Own(std::ffi::OsString::from_vec(bytes).into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::value;

    #[test]
    fn paths_need_not_be_utf_8() {
        let paths: Paths = [&b"/etc"[..], b"/\xff\xfe", b""].map(OsStr::from_bytes).into();
        let mut raw = Vec::new();
        value::encode(&paths, &mut raw).unwrap();
        assert_eq!(raw, b"\x93\xa4/etc\xc4\x03/\xff\xfe\xa0");
        assert_eq!(value::decode::<Paths>(&raw).unwrap(), paths);
        assert_eq!(value::decode::<Vec<String>>(b"\x91\xa4/etc").unwrap(), ["/etc"]);
        assert!(value::decode::<Paths>(b"\x91\x05").is_err(), "a number is no path");
    }

    #[test]
    fn paths_that_are_texts_are_what_a_vector_of_them_is() {
        let vector: Vec<PathBuf> = vec!["/etc".into(), "x".into()];
        let (mut one, mut other) = (Vec::new(), Vec::new());
        value::encode(&vector, &mut one).unwrap();
        value::encode(&Paths::from(vector), &mut other).unwrap();
        assert_eq!(one, other);
    }
}
