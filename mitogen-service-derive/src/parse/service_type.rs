//! `#[service]` on a struct or enum, where it only carries options.

use proc_macro2::TokenStream;
use syn::{Attribute, Generics, Ident};

use super::{method, options};
use crate::errors::Errors;
use crate::model::ServiceType;

/// Reads the options of a type.
pub(crate) fn read(
    options: TokenStream,
    attrs: &[Attribute],
    ident: &Ident,
    generics: &Generics,
    errors: &Errors,
) -> ServiceType {
    ServiceType {
        ident: ident.clone(),
        generics: generics.clone(),
        cfgs: method::named(attrs, "cfg"),
        options: options::of_type(options, errors),
    }
}
