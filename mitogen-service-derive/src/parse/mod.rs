//! From tokens to the model: what was typed, what it means, and what is wrong with it.
//!
//! Reading never stops at a mistake. It is noted in [`Errors`](crate::errors::Errors), and what
//! cannot be understood is left out, so that all mistakes of a block are found in one go.

mod another_block;
mod attributes;
pub(crate) mod block;
pub(crate) mod closure;
mod docs;
pub(crate) mod function;
mod generics;
mod hooks;
mod injected;
mod keyed;
pub(crate) mod main_function;
mod method;
mod misspelt;
mod options;
mod parameters;
pub(crate) mod policy;
mod result;
pub(crate) mod service_type;
pub(crate) mod types;
mod unfit;
pub(crate) mod unread;

/// A method without any of our attributes, and nothing said about them.
pub(crate) fn without_our_attributes(mut method: syn::ImplItemFn) -> syn::ImplItemFn {
    let unheard = crate::errors::Errors::default();
    attributes::of_method(&mut method.attrs, &unheard);
    parameters::strip(&mut method.sig, &unheard);
    method
}
