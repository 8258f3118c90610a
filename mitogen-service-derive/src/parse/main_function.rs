//! `#[main]`: its options and the function below it.

use proc_macro2::TokenStream;
use syn::{Attribute, FnArg, ItemFn, Pat, Safety, Type};

use super::keyed::{Known, each_option};
use super::{options, types};
use crate::errors::{Errors, text};
use crate::model::Main;
use crate::words;

/// Reads the function and its options.
pub(crate) fn read(tokens: TokenStream, mut function: ItemFn, errors: &Errors) -> Main {
    let known = Known::new("main", words::OF_MAIN);
    let mut krate = options::usual_crate();
    let mut router = None;
    each_option(tokens, &known, errors, |keyword, input| {
        if keyword.word == words::CRATE {
            krate = options::crate_path(keyword, input)?;
        } else {
            router = Some(keyword.value(input, "Router::builder()", |input| input.parse())?);
        }
        Ok(())
    });
    let takes_router = check_signature(&function, errors);
    let (outer, inner): (Vec<Attribute>, Vec<Attribute>) = function.attrs.drain(..).partition(stays_outside);
    function.attrs = inner;
    // Any other attribute on an `async fn` is a runtime's `main`, which makes it a plain one.
    let alone = function.attrs.iter().all(is_harmless);
    Main { krate, router, takes_router, needs_block_on: function.sig.asyncness.is_some() && alone, outer, function }
}

/// Checks the shape of `main`; tells whether it takes the router.
fn check_signature(function: &ItemFn, errors: &Errors) -> bool {
    let sig = &function.sig;
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics.params, text::MAIN_GENERIC);
    }
    if let Safety::Unsafe(word) = sig.safety {
        errors.at(word, text::MAIN_SIGNATURE);
    }
    if let Some(word) = sig.constness {
        errors.at(word, text::MAIN_SIGNATURE);
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, text::MAIN_SIGNATURE);
    }
    if let Some(second) = sig.inputs.iter().nth(1) {
        errors.at(second, text::MAIN_SHAPE);
    }
    match sig.inputs.first() {
        None => false,
        Some(first) => {
            if !is_router(first) {
                errors.at(first, text::MAIN_SHAPE);
            }
            true
        }
    }
}

fn is_router(input: &FnArg) -> bool {
    let FnArg::Typed(typed) = input else {
        return false;
    };
    let Type::Reference(reference) = types::peel(&typed.ty) else {
        return false;
    };
    let named = matches!(*typed.pat, Pat::Ident(_) | Pat::Wild(_));
    named && reference.mutability.is_none() && types::is_plain(&reference.elem, "Router")
}

/// Attributes that belong to the function that stands where the user's stood.
fn stays_outside(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("doc")
}

/// Attributes that leave a function as it is.
fn is_harmless(attribute: &Attribute) -> bool {
    const INERT: &[&str] = &[
        "allow",
        "cold",
        "cfg_attr",
        "deny",
        "deprecated",
        "expect",
        "forbid",
        "inline",
        "must_use",
        "track_caller",
        "warn",
    ];
    const TOOLS: &[&str] = &["clippy", "rustfmt", "diagnostic"];
    let first = attribute.path().segments.first();
    INERT.iter().any(|name| attribute.path().is_ident(name))
        || first.is_some_and(|first| TOOLS.iter().any(|tool| first.ident == tool))
}
