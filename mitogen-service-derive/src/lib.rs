//! The attribute macros of `mitogen-service`, which re-exports them. Their documentation stands
//! there, where its examples run.
//!
//! Each macro goes through three stages: `parse` reads tokens and notes every mistake, what it
//! returns is a `model` of plain fields, and `expand` turns a model without mistakes into code.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;

mod entry;
mod errors;
mod expand;
mod model;
mod parse;
mod print;
mod suggest;
#[cfg(test)]
mod tests;
mod words;

/// Makes a service of an impl block; on a struct or enum it carries options.
#[proc_macro_attribute]
pub fn service(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::service(options.into(), item.into()).into()
}

/// Enters children of this program and calls the function below in every other process.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::main(options.into(), item.into()).into()
}

/// Lets other processes call a function.
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::function(options.into(), item.into()).into()
}

/// Marks a method of a `#[service]` block that other processes may call.
#[proc_macro_attribute]
pub fn expose(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::outside_service(words::EXPOSE, item.into()).into()
}

/// Marks an exposed method whose callers wait for no answer.
#[proc_macro_attribute]
pub fn no_reply(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::outside_service(words::NO_REPLY, item.into()).into()
}

/// Marks the method of a `#[service]` block that runs before the first call.
#[proc_macro_attribute]
pub fn on_start(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::outside_service(words::ON_START, item.into()).into()
}

/// Marks the method of a `#[service]` block that takes what arrives at the service's select.
#[proc_macro_attribute]
pub fn on_message(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::outside_service(words::ON_MESSAGE, item.into()).into()
}

/// Marks the method of a `#[service]` block that runs when the pool ends.
#[proc_macro_attribute]
pub fn on_shutdown(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::outside_service(words::ON_SHUTDOWN, item.into()).into()
}

/// Adds checks to the arguments of an exposed method.
#[proc_macro_attribute]
pub fn arg_spec(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::outside_service(words::ARG_SPEC, item.into()).into()
}

/// Says how an argument of an exposed method travels.
#[proc_macro_attribute]
pub fn arg(_: TokenStream, item: TokenStream) -> TokenStream {
    entry::arg_outside_of_a_parameter(item.into()).into()
}
