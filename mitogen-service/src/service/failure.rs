//! From a method's error to a call error, by what its type can do.
//!
//! Generated code calls `(&&&&&&&&Failure(&error)).to_call_error()` with all traits of this module
//! in scope. Method lookup takes the first receiver that fits, and each trait is implemented for
//! one `&` less than the one before it: so the best that the concrete type offers is chosen, and
//! the type needs no trait of ours. From best to least: a call error, the runtime's error, a boxed
//! error (also of other crates), an error that can be serialized, a text that can be serialized, an
//! error, a text.

use std::any::{Any, type_name};
use std::error::Error as StdError;
use std::fmt::Display;

use serde::Serialize;

use crate::error::{CallError, Error, Trace};
use crate::wire::{Blob, value};

/// How many sources of an error travel.
const MAX_CHAIN: usize = 32;

/// A method's error on its way out.
#[derive(Debug)]
pub struct Failure<'a, E>(pub &'a E);

/// A call error stays what it is.
pub trait ByCallError {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl ByCallError for &&&&&&&Failure<'_, CallError> {
    fn to_call_error(&self) -> CallError {
        self.0.clone()
    }
}

/// A runtime error may hold a call error.
pub trait ByRuntimeError {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl ByRuntimeError for &&&&&&Failure<'_, Error> {
    fn to_call_error(&self) -> CallError {
        self.0.clone().into()
    }
}

/// A box of an error: `Box<dyn Error + Send + Sync>`, and those of crates that look like it.
pub trait ByBoxed {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl<E: AsRef<dyn StdError + Send + Sync + 'static> + Display> ByBoxed for &&&&&Failure<'_, E> {
    fn to_call_error(&self) -> CallError {
        let inner = self.0.as_ref();
        if let Some(error) = inner.downcast_ref::<CallError>() {
            return error.clone();
        }
        if let Some(error) = inner.downcast_ref::<Error>() {
            return error.clone().into();
        }
        failed(type_name::<E>(), self.0, chain(inner), None)
    }
}

/// An error that the caller can have back as it is.
pub trait ByTypedSource {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl<E: StdError + Serialize> ByTypedSource for &&&&Failure<'_, E> {
    fn to_call_error(&self) -> CallError {
        failed(type_name::<E>(), self.0, chain(self.0), data(self.0))
    }
}

/// A text that the caller can have back as it is.
pub trait ByTyped {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl<E: Display + Serialize> ByTyped for &&&Failure<'_, E> {
    fn to_call_error(&self) -> CallError {
        failed(type_name::<E>(), self.0, Vec::new(), data(self.0))
    }
}

/// An error of which the texts travel.
pub trait BySource {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl<E: StdError> BySource for &&Failure<'_, E> {
    fn to_call_error(&self) -> CallError {
        failed(type_name::<E>(), self.0, chain(self.0), None)
    }
}

/// A text.
pub trait ByDisplay {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl<E: Display> ByDisplay for &Failure<'_, E> {
    fn to_call_error(&self) -> CallError {
        failed(type_name::<E>(), self.0, Vec::new(), None)
    }
}

/// Something that is no error. It does not compile, and [`must_display`] says why; this is there so
/// that nothing else says so as well.
pub trait ByNothing {
    /// The call error.
    fn to_call_error(&self) -> CallError;
}

impl<E> ByNothing for Failure<'_, E> {
    fn to_call_error(&self) -> CallError {
        failed(type_name::<E>(), &type_name::<E>(), Vec::new(), None)
    }
}

/// What a method or a function may return as its error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a remote call",
    label = "has no `Display`",
    note = "the text of the error travels to the caller: implement `std::fmt::Display` for `{Self}`"
)]
pub trait MethodError {}

#[diagnostic::do_not_recommend]
impl<E: Display + ?Sized> MethodError for E {}

/// Asks for what every error of a method needs.
pub fn must_display<E: MethodError + ?Sized>(_error: &E) {}

/// The same of a type that depends on a type parameter, to whose bounds the compiler proposes to add what is missing.
pub fn generic_must_display<E: Display>(_error: &E) {}

/// The call error that an error of a type parameter turns out to be, if it is one.
pub fn as_call_error<E: 'static>(error: &E) -> Option<CallError> {
    let error: &dyn Any = error;
    let of_runtime = || error.downcast_ref::<Error>().map(|error| error.clone().into());
    error.downcast_ref::<CallError>().cloned().or_else(of_runtime)
}

fn failed(type_name: &str, error: &dyn Display, chain: Vec<String>, data: Option<Blob>) -> CallError {
    CallError::Failed {
        type_name: type_name.to_owned(),
        message: error.to_string(),
        chain,
        data,
        trace: Trace::default(),
    }
}

/// The texts of the sources that the text above them does not end with already.
fn chain(error: &dyn StdError) -> Vec<String> {
    let mut texts = Vec::new();
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(error) = source.filter(|_| texts.len() < MAX_CHAIN) {
        let text = error.to_string();
        if !last.ends_with(&text) {
            texts.push(text.clone());
        }
        last = text;
        source = error.source();
    }
    texts
}

/// An error whose encoding fails still has its text.
fn data(error: &impl Serialize) -> Option<Blob> {
    let mut out = Vec::new();
    value::encode(error, &mut out).ok().map(|()| out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! call_error {
        ($error:expr) => {{
            #[allow(unused_imports)]
            use super::{
                ByBoxed as _, ByCallError as _, ByDisplay as _, ByNothing as _, ByRuntimeError as _, BySource as _,
                ByTyped as _, ByTypedSource as _,
            };
            (&&&&&&&&Failure(&$error)).to_call_error()
        }};
    }

    fn parts(error: CallError) -> (String, Vec<String>, bool) {
        match error {
            CallError::Failed { message, chain, data, .. } => (message, chain, data.is_some()),
            other => panic!("{other:?}"),
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[from] std::num::ParseIntError);

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize, thiserror::Error)]
    #[error("typed {code}")]
    struct Typed {
        code: u8,
    }

    #[test]
    fn each_error_gives_the_most_that_its_type_can() {
        let source = || "x".parse::<i32>().unwrap_err();
        let inner = "invalid digit found in string".to_owned();
        assert_eq!(parts(call_error!(Outer(source()))), ("outer".into(), vec![inner.clone()], false));
        let boxed: Box<dyn StdError + Send + Sync> = Outer(source()).into();
        assert_eq!(parts(call_error!(boxed)), ("outer".into(), vec![inner], false));
        assert_eq!(parts(call_error!("text")), ("text".into(), vec![], true));
        assert!(!parts(call_error!(std::fmt::Error)).2);
        let typed = call_error!(Typed { code: 3 });
        assert_eq!(typed.decode::<Typed>(), Some(Typed { code: 3 }));
    }

    #[test]
    fn a_call_error_stays_what_it_is_however_it_is_wrapped() {
        let stopped = || CallError::Stopped { trace: Trace::default() };
        assert_eq!(call_error!(stopped()), stopped());
        assert_eq!(call_error!(Error::from(stopped())), stopped());
        let boxed: Box<dyn StdError + Send + Sync> = stopped().into();
        assert_eq!(call_error!(boxed), stopped());
    }
}
