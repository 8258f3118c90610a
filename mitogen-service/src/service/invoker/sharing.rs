//! A method whose calls cannot share an answer must not be run by an invoker that lets them.
//!
//! Generated code knows an invoker by an expression only, and the compiler knows its type. So for each
//! method in question that code calls one of the functions below with `Probe(&invoker).manner()`: an
//! inherent method wins over one of a trait, hence the invoker named here gets [`Shared`] and every
//! other one [`Alone`], of which nothing is asked.

use super::{DeduplicatingInvoker, Invoker};

/// An invoker whose manner is asked for.
#[derive(Debug)]
pub struct Probe<'a, I>(pub &'a I);

/// One execution answers many calls.
#[derive(Clone, Copy, Debug)]
pub struct Shared;

/// Each call is executed.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Probe<'_, DeduplicatingInvoker> {
    /// How it runs calls.
    pub fn manner(&self) -> Shared {
        Shared
    }
}

/// What the probe says of all other invokers.
pub trait ByDefault {
    /// How it runs calls.
    fn manner(&self) -> Alone {
        Alone
    }
}

impl<I: Invoker> ByDefault for Probe<'_, I> {}

/// Under which a method may take `&Caller`.
#[diagnostic::on_unimplemented(
    message = "a method that is run by `DeduplicatingInvoker` cannot take `&Caller`",
    label = "one execution answers many callers",
    note = "remove the parameter and leave it to the policy who may call, or give the method an invoker of its own: \
            `#[expose(policy = .., invoker = ConcurrentInvoker)]`"
)]
pub trait KnowsCaller {}

/// Under which a method may take `Reply<T>`.
#[diagnostic::on_unimplemented(
    message = "a method that is run by `DeduplicatingInvoker` cannot take `Reply<T>`",
    label = "one execution answers many calls",
    note = "return the result, or give the method an invoker of its own: \
            `#[expose(policy = .., invoker = ConcurrentInvoker)]`"
)]
pub trait KnowsReply {}

/// Under which a method may be without an answer.
#[diagnostic::on_unimplemented(
    message = "a method that is run by `DeduplicatingInvoker` cannot be `#[no_reply]`",
    label = "calls share an answer, and this has none",
    note = "remove `#[no_reply]`, or give the method an invoker of its own: \
            `#[expose(policy = .., invoker = ConcurrentInvoker)]`"
)]
pub trait KnowsNoReply {}

/// What may be the invoker of a struct.
#[diagnostic::on_unimplemented(
    message = "`DeduplicatingInvoker` stands on the impl block",
    label = "cannot see the methods from here",
    note = "move `invoker = ..` to the `#[service(..)]` of the impl block"
)]
pub trait KnowsNoMethods {}

#[diagnostic::do_not_recommend]
impl KnowsCaller for Alone {}

#[diagnostic::do_not_recommend]
impl KnowsReply for Alone {}

#[diagnostic::do_not_recommend]
impl KnowsNoReply for Alone {}

#[diagnostic::do_not_recommend]
impl KnowsNoMethods for Alone {}

/// The method takes `&Caller`.
pub fn with_caller(_manner: impl KnowsCaller) {}

/// The method takes `Reply<T>`.
pub fn with_reply(_manner: impl KnowsReply) {}

/// The method is `#[no_reply]`.
pub fn without_reply(_manner: impl KnowsNoReply) {}

/// The invoker stands on a struct.
pub fn on_a_type(_manner: impl KnowsNoMethods) {}
