//! Gathers the mistakes of one macro call, so that all of them are reported at once.

use std::cell::RefCell;
use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

pub(crate) mod text;

/// The mistakes found so far.
///
/// It is shared by reference: reading goes on after a mistake, in whatever function is at work.
#[derive(Default)]
pub(crate) struct Errors {
    found: RefCell<Vec<syn::Error>>,
}

impl Errors {
    /// Notes a mistake at the tokens that are wrong.
    pub(crate) fn at(&self, guilty: impl ToTokens, text: impl Display) {
        self.push(syn::Error::new_spanned(guilty, text));
    }

    /// Notes a mistake at a place.
    pub(crate) fn at_span(&self, place: Span, text: impl Display) {
        self.push(syn::Error::new(place, text));
    }

    /// Notes a mistake that the parser found.
    pub(crate) fn push(&self, error: syn::Error) {
        self.found.borrow_mut().push(error);
    }

    /// Takes the value of a result, or notes its mistake.
    pub(crate) fn ok<T>(&self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// How many were found so far.
    pub(crate) fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// One `compile_error!` for every mistake.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.found.into_inner().iter().map(syn::Error::to_compile_error).collect()
    }
}
