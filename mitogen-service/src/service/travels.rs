//! What an argument, a result and a service must be able to do, and one error where one of them cannot.
//!
//! Generated code names the type of a value wherever it is encoded or decoded, and the compiler would
//! complain at each of these places. So exactly one of them asks, in our words: [`argument`] and
//! [`answer`] where a stub sends the call, or [`generic_argument`] and [`generic_answer`] where the type
//! depends on a type parameter. The others go through [`Value`], whose functions exist for every type:
//! those of the inherent impls, which are taken where their bounds hold, win over those of the trait
//! [`Unable`], which are never run because such a program does not compile.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::dispatch::Invocation;
use crate::router::Router;
use crate::wire::value::{self, DecodeError, EncodeError};

/// What an argument must be able to do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a remote call",
    label = "cannot be encoded and decoded",
    note = "derive `serde::Serialize` and `serde::Deserialize` for types of your own; of a type of another crate take \
            what it is made from"
)]
pub trait Argument<'de>: Serialize + Deserialize<'de> {}

#[diagnostic::do_not_recommend]
impl<'de, T: Serialize + Deserialize<'de>> Argument<'de> for T {}

/// What a result must be able to do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a remote call",
    label = "cannot be encoded and decoded",
    note = "derive `serde::Serialize` and `serde::Deserialize` for types of your own; of a type of another crate \
            return what it is made from"
)]
pub trait Answers: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Answers for T {}

/// What a result that is not called `Result` must not be.
#[diagnostic::on_unimplemented(
    message = "the macro cannot see through an alias of `Result`: write `Result<T, E>` itself",
    label = "is a `Result` under another name"
)]
pub trait Visible {}

/// What a service must be: the threads of a pool share it, for as long as the pool lives.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a service: the threads of a pool share it, and it is not `Send + Sync + 'static`",
    label = "cannot be shared between threads",
    note = "put what changes into a `Mutex` or an atomic in place of a `RefCell` or a `Cell`, and what is shared into \
            an `Arc` in place of an `Rc`"
)]
pub trait Shared: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + 'static> Shared for T {}

/// What `#[arg(default)]` asks of an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default for a call that leaves the argument out",
    label = "has no `Default`",
    note = "derive `Default` for `{Self}`, or write `#[arg(default = ..)]` with the value"
)]
pub trait HasDefault: Sized {
    /// Makes it.
    fn make() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> HasDefault for T {
    fn make() -> Self {
        T::default()
    }
}

/// What a method may take by reference beside its arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither the `Caller` nor the `Router` of `mitogen_service`, and only `&str`, `&[u8]` and \
               `&Path` can be borrowed from a message",
    label = "is another type of this name",
    note = "take it by value if it is an argument"
)]
pub trait Provided {
    /// What a call provides.
    fn of<'a>(call: &Invocation<'a>) -> &'a Self;
}

impl Provided for Caller {
    fn of<'a>(call: &Invocation<'a>) -> &'a Self {
        call.caller()
    }
}

impl Provided for Router {
    fn of<'a>(call: &Invocation<'a>) -> &'a Self {
        call.router()
    }
}

/// What a call provides, of a type whose path the macro does not know.
pub fn provided<'a, T: Provided>(call: &Invocation<'a>) -> &'a T {
    T::of(call)
}

/// The function that makes an argument that was left out.
pub fn default<T: HasDefault>() -> fn() -> T {
    T::make
}

/// The function that encodes an argument.
///
/// A pointer, since the type of the function itself would bring its bound to where it is passed.
pub fn argument<'de, T: Argument<'de>>() -> Encode<T> {
    value::encode
}

/// What can be done with a type that depends on a type parameter.
///
/// The compiler proposes to add what such a type lacks to the bounds of the block, which would be [`Argument`] or
/// [`Answers`] and so no trait for users. It proposes nothing about a type that has no name, as that of the function
/// [`bounds`], which implements this.
#[diagnostic::on_unimplemented(
    message = "`{T}` can be an argument or a result of a remote call only if the bounds of the impl block say so",
    label = "may be a type that cannot be encoded and decoded",
    note = "add `serde::Serialize + serde::de::DeserializeOwned` to the bounds, and derive both for types of your own"
)]
pub trait Bounds<T> {
    /// The function that appends the encoding of a value.
    fn encode(self) -> Encode<T>;

    /// The function that decodes a value.
    fn decode(self) -> Decode<T>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned, F: FnOnce()> Bounds<T> for F {
    fn encode(self) -> Encode<T> {
        value::encode
    }

    fn decode(self) -> Decode<T> {
        value::decode_owned
    }
}

/// Has a type without a name.
pub fn bounds() {}

/// [`argument`] of a type that depends on a type parameter.
pub fn generic_argument<T, B: Bounds<T>>(bounds: B) -> Encode<T> {
    bounds.encode()
}

/// [`answer`] of a type that depends on a type parameter.
pub fn generic_answer<T, B: Bounds<T>>(bounds: B) -> Decode<T> {
    bounds.decode()
}

/// [`default`] of a type that depends on a type parameter, to whose bounds the compiler proposes to add what is missing.
pub fn generic_default<T: Default>() -> fn() -> T {
    T::default
}

/// What appends the encoding of a value.
pub type Encode<T> = fn(&T, &mut Vec<u8>) -> Result<(), EncodeError>;

/// What decodes a value.
pub type Decode<T> = fn(&[u8]) -> Result<T, DecodeError>;

/// Decodes a result.
pub fn answer<T: Answers>(raw: &[u8]) -> Result<T, DecodeError> {
    value::decode_owned(raw)
}

/// A type whose values travel, or one that cannot.
#[derive(Debug)]
pub struct Value<T>(PhantomData<T>);

impl<T: Serialize> Value<T> {
    /// Appends the encoding of a value.
    pub fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        value::encode(value, out)
    }
}

impl<'a, T: Deserialize<'a>> Value<T> {
    /// Decodes a value, which may borrow.
    pub fn decode(raw: &'a [u8]) -> Result<T, DecodeError> {
        value::decode(raw)
    }
}

/// What stands in for the functions of [`Value`] where the type cannot do it.
pub trait Unable: Sized {
    /// The type.
    type Of;

    /// In place of [`Value::encode`].
    fn encode(_: &Self::Of, _: &mut Vec<u8>) -> Result<(), EncodeError> {
        unreachable!("{NOT_BUILT}")
    }

    /// In place of [`Value::decode`].
    fn decode(_: &[u8]) -> Result<Self::Of, DecodeError> {
        unreachable!("{NOT_BUILT}")
    }
}

impl<T> Unable for Value<T> {
    type Of = T;
}

const NOT_BUILT: &str = "a value that cannot travel has been reported";

/// A result that is not called `Result`, which it may be under another name.
#[derive(Debug)]
pub struct Named<T>(PhantomData<T>);

impl<T, E> Named<Result<T, E>> {
    /// Asks for what it cannot be.
    pub fn answer(_: &[u8]) -> Result<Result<T, E>, DecodeError>
    where
        Result<T, E>: Visible,
    {
        unreachable!("{NOT_BUILT}")
    }

    /// The same of a type that depends on a type parameter.
    pub fn generic_answer<B>(_: B) -> Decode<Result<T, E>>
    where
        Result<T, E>: Visible,
    {
        unreachable!("{NOT_BUILT}")
    }
}

/// All other results.
pub trait NotAResult<T>: Sized {
    /// Decodes it.
    fn answer(raw: &[u8]) -> Result<T, DecodeError>
    where
        T: Answers,
    {
        answer(raw)
    }

    /// The function that decodes it, where it depends on a type parameter.
    fn generic_answer<B: Bounds<T>>(bounds: B) -> Decode<T> {
        bounds.decode()
    }
}

impl<T> NotAResult<T> for Named<T> {}
