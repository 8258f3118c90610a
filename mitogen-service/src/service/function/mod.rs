//! Functions that can be called in other contexts, marked with `#[function]`.
//!
//! On the wire there are only services: all functions of the executable are the methods of one
//! built-in service that every pool has, each under its path. So whatever holds for a call of a
//! service holds for the call of a function.

mod callable;
mod registry;

pub use callable::{Callable, Function, FunctionSignature};
pub(super) use registry::all;
pub use registry::{FUNCTIONS, Registered};
