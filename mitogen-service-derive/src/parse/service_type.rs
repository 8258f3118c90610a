//! `#[service]` on a struct or enum, where it only carries options.

use proc_macro2::TokenStream;
use syn::{Attribute, Generics, Ident};

use super::{method, options};
use crate::errors::{Errors, text};
use crate::model::ServiceType;

/// Reads the options of a type.
pub(crate) fn read(
    options: TokenStream,
    attrs: &[Attribute],
    ident: &Ident,
    generics: &Generics,
    errors: &Errors,
) -> ServiceType {
    let mut options = options::of_type(options, errors);
    if !generics.params.is_empty()
        && let Some(activate) = options.activate.take()
    {
        errors.at_span(activate.keyword, text::GENERIC_ACTIVATION_ON_TYPE);
    }
    ServiceType { ident: ident.clone(), generics: generics.clone(), cfgs: method::named(attrs, "cfg"), options }
}
