//! The type parameters of a service, and the types that it is there for.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{ConstParam, GenericParam, Generics, Ident, ItemImpl, Path, Type, TypeParam};

use super::types;
use crate::errors::{Errors, text};
use crate::model::{Options, Params};

/// Takes parameters away that are named nowhere, which the compiler would report of the block and of each of its calls.
pub(super) fn take_unused(item: &mut ItemImpl, errors: &Errors) {
    let predicates = item.generics.where_clause.to_token_stream();
    let mut places = vec![item.self_ty.to_token_stream(), predicates];
    places.extend(item.items.iter().map(ToTokens::to_token_stream));
    places.extend(item.generics.type_params().map(|param| param.bounds.to_token_stream()));
    let params = std::mem::take(&mut item.generics.params).into_pairs();
    let used = params.filter(|param| match param.value() {
        GenericParam::Lifetime(_) => true,
        GenericParam::Type(TypeParam { ident, .. }) | GenericParam::Const(ConstParam { ident, .. }) => {
            let is_used = places.iter().any(|place| has(place.clone(), &|word| word == ident));
            if !is_used {
                errors.at(ident, text::unused_parameter(&ident.to_string()));
            }
            is_used
        }
    });
    item.generics.params = used.collect();
}

/// Reads the parameters of an impl block, whose service is called `ident`.
pub(super) fn read(item: &ItemImpl, krate: &Path, options: &Options, ident: &Ident, errors: &Errors) -> Params {
    let lifetime = first_lifetime(item);
    if let Some(lifetime) = lifetime {
        errors.at_span(lifetime, text::BORROWING_SERVICE);
    }
    let borrow = lifetime.is_some();
    let generics = &item.generics;
    check_types(options, ident, !generics.params.is_empty(), errors);
    if generics.params.is_empty() {
        return Params { borrow, ..Params::default() };
    }
    let self_type = &item.self_ty;
    let (declared, passed, bounds) = generics.split_for_impl();
    let written = bounds.map(|bounds| types::replace_self(bounds.predicates.to_token_stream(), self_type));
    let comma = bounds.filter(|bounds| !bounds.predicates.trailing_punct()).map(|_| quote!(,));
    let listed = options.types.as_ref().map(|_| quote!(+ #krate::__private::Listed));
    Params {
        declared: types::replace_self(declared.to_token_stream(), self_type),
        passed: passed.to_token_stream(),
        bounds: match borrow {
            true => quote!(where #written),
            false => quote!(where #written #comma #self_type: #krate::__private::travels::Shared #listed),
        },
        borrow,
    }
}

/// The first lifetime in a block's parameters or in the name of its type, but for `'static`.
fn first_lifetime(item: &ItemImpl) -> Option<Span> {
    let declared = item.generics.lifetimes().next().map(|param| param.lifetime.span());
    declared.or_else(|| types::first_borrow(item.self_ty.to_token_stream()).map(|tree| tree.span()))
}

fn check_types(options: &Options, ident: &Ident, is_generic: bool, errors: &Errors) {
    match &options.types {
        Some(given) if !is_generic => errors.at_span(given.keyword, text::TYPES_WITHOUT_PARAMETERS),
        Some(given) => {
            let mut seen = HashSet::new();
            for ty in &given.value {
                if !is_of(ty, ident) {
                    errors.at(ty, text::not_of_this_service(&ident.to_string()));
                } else if !seen.insert(crate::print::tokens(ty)) {
                    errors.at(ty, text::type_twice(ty));
                }
            }
        }
        None => {
            if let Some(activate) = options.activate.as_ref().filter(|_| is_generic) {
                errors.at_span(activate.keyword, text::GENERIC_ACTIVATION);
            }
        }
    }
}

fn is_of(ty: &Type, ident: &Ident) -> bool {
    types::last_segment(ty).is_some_and(|last| last.ident == *ident && !last.arguments.is_none())
}

/// Whether a type names one of these parameters, or the service itself, which may.
pub(super) fn mentions(tokens: TokenStream, params: &Generics) -> bool {
    let is_one = |ident: &Ident| ident == "Self" || params.type_params().any(|param| param.ident == *ident);
    !params.params.is_empty() && has(tokens, &is_one)
}

/// Whether there is such a word among the tokens.
fn has(tokens: TokenStream, is_one: &dyn Fn(&Ident) -> bool) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Ident(ident) => is_one(&ident),
        TokenTree::Group(group) => has(group.stream(), is_one),
        _ => false,
    })
}
