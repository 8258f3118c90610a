//! The arguments of a call, by name: found, decoded and checked one by one.

use std::fmt::Display;

use super::descriptor::ArgSpec;
use crate::error::{CallError, Trace};
use crate::wire::Cursor;
use crate::wire::value::DecodeError;

/// How many arguments need no allocation.
const INLINE: usize = 8;

/// The arguments of one call: a slot for each that the method knows.
#[doc(hidden)]
pub struct Args<'a> {
    specs: &'static [ArgSpec],
    slots: Slots<'a>,
}

/// The raw value of each argument, in the order of the specs; the usual few without an allocation.
enum Slots<'a> {
    Inline([Option<&'a [u8]>; INLINE]),
    Heap(Vec<Option<&'a [u8]>>),
}

impl<'a> Slots<'a> {
    fn new(count: usize) -> Self {
        if count <= INLINE { Self::Inline([None; INLINE]) } else { Self::Heap(vec![None; count]) }
    }

    fn as_mut(&mut self) -> &mut [Option<&'a [u8]>] {
        match self {
            Self::Inline(slots) => slots,
            Self::Heap(slots) => slots,
        }
    }

    fn get(&self, index: usize) -> Option<&'a [u8]> {
        match self {
            Self::Inline(slots) => slots[index],
            Self::Heap(slots) => slots[index],
        }
    }
}

impl<'a> Args<'a> {
    /// Sorts the entries of a map that has been validated.
    pub(crate) fn new(specs: &'static [ArgSpec], map: &'a [u8]) -> Result<Self, CallError> {
        let mut slots = Slots::new(specs.len());
        let mut cursor = Cursor::new(map);
        let malformed = |error: crate::wire::Malformed| CallError::Malformed {
            reason: format!("the arguments: {error}"),
            trace: Trace::default(),
        };
        for _ in 0..cursor.map_len().map_err(malformed)? {
            let name = cursor.str_bytes().map_err(malformed)?;
            let value = cursor.skip().map_err(malformed)?;
            let index = specs.iter().position(|spec| spec.name.as_bytes() == name);
            let index = index.ok_or_else(|| unknown(&String::from_utf8_lossy(name), specs))?;
            slots.as_mut()[index] = Some(value);
        }
        for (index, spec) in specs.iter().enumerate() {
            if spec.required && slots.get(index).is_none() {
                return Err(CallError::ArgMissing { name: spec.name.to_owned(), trace: Trace::default() });
            }
        }
        Ok(Self { specs, slots })
    }

    /// An argument that must be there.
    pub fn required<T>(
        &self,
        index: usize,
        decode: impl FnOnce(&'a [u8]) -> Result<T, DecodeError>,
    ) -> Result<T, CallError> {
        match self.slots.get(index) {
            Some(raw) => self.decode(index, raw, decode),
            None => {
                let name = self.specs[index].name.to_owned();
                Err(CallError::ArgMissing { name, trace: Trace::default() })
            }
        }
    }

    /// An argument of a type that knows a missing value.
    pub fn optional<T: Default>(
        &self,
        index: usize,
        decode: impl FnOnce(&'a [u8]) -> Result<T, DecodeError>,
    ) -> Result<T, CallError> {
        self.or_else(index, decode, T::default)
    }

    /// An argument with a default.
    pub fn or_else<T>(
        &self,
        index: usize,
        decode: impl FnOnce(&'a [u8]) -> Result<T, DecodeError>,
        default: impl FnOnce() -> T,
    ) -> Result<T, CallError> {
        match self.slots.get(index) {
            Some(raw) => self.decode(index, raw, decode),
            None => Ok(default()),
        }
    }

    /// What a check of `#[arg_spec(..)]` says.
    pub fn check(&self, index: usize, verdict: impl CheckOutcome) -> Result<(), CallError> {
        verdict.refusal().map_or(Ok(()), |reason| {
            let name = self.specs[index].name.to_owned();
            Err(CallError::ArgInvalid { name, reason, trace: Trace::default() })
        })
    }

    fn decode<T>(
        &self,
        index: usize,
        raw: &'a [u8],
        decode: impl FnOnce(&'a [u8]) -> Result<T, DecodeError>,
    ) -> Result<T, CallError> {
        decode(raw).map_err(|DecodeError { got, reason }| {
            let ArgSpec { name, type_name, .. } = &self.specs[index];
            CallError::ArgType {
                name: (*name).to_owned(),
                got: got.to_owned(),
                expected: (*type_name).to_owned(),
                reason,
                trace: Trace::default(),
            }
        })
    }
}

#[cold]
fn unknown(name: &str, specs: &[ArgSpec]) -> CallError {
    let known = specs.iter().map(|spec| spec.name.to_owned()).collect();
    let mut name = name.to_owned();
    crate::router::cut(&mut name, 200);
    CallError::ArgUnknown { name, known, trace: Trace::default() }
}

/// What a check may return: `bool`, or a `Result` whose error says why.
#[diagnostic::on_unimplemented(message = "a check returns `bool` or `Result<(), E>` where `E: Display`, not `{Self}`")]
#[doc(hidden)]
pub trait CheckOutcome {
    /// The reason of a refusal, which may be empty.
    fn refusal(self) -> Option<String>;
}

impl CheckOutcome for bool {
    fn refusal(self) -> Option<String> {
        (!self).then(String::new)
    }
}

impl<E: Display> CheckOutcome for Result<(), E> {
    fn refusal(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// Calls a check that is a closure, whose parameter gets its type from here.
#[doc(hidden)]
pub fn apply_check<T: ?Sized, R>(value: &T, check: impl FnOnce(&T) -> R) -> R {
    check(value)
}
