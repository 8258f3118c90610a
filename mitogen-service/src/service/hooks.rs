//! What a service does at moments of its life. Written by `#[service]`.

use super::caller::Caller;
use super::scope::ServiceScope;
use crate::channel::Event;
use crate::error::CallError;

/// The methods of `S` that run by themselves.
#[doc(hidden)]
pub struct Hooks<S: ?Sized> {
    /// Runs before the first call.
    pub on_start: Option<Start<S>>,
    /// Whose messages are taken, and what takes them.
    pub on_message: Option<(Allows<S>, Take<S>)>,
    /// Runs when the pool ends.
    pub on_shutdown: Option<fn(&S)>,
}

/// Starts a service.
type Start<S> = fn(&S, &ServiceScope) -> Result<(), CallError>;

/// Whether every policy agrees.
type Allows<S> = fn(&S, &Caller) -> bool;

/// Takes an event.
type Take<S> = fn(&S, Event);

impl<S: ?Sized> Hooks<S> {
    /// Nothing runs by itself.
    pub const NONE: Self = Self { on_start: None, on_message: None, on_shutdown: None };
}
