//! Types that no argument and no result can have, whatever is derived: functions, trait objects, and what has no
//! size of its own.
//!
//! To the compiler these are mistakes of the method itself and of everything that is made from it, so they are
//! recognised before it sees them.

use quote::ToTokens;
use syn::{Type, TypeParamBound, TypePath, TypeTraitObject};

use super::types;
use crate::errors::text;

/// What is wrong with a type.
pub(super) struct Unfit {
    pub(super) text: String,
    /// A type that the compiler accepts in its place.
    pub(super) instead: Type,
}

/// What an argument cannot be.
pub(super) fn argument(ty: &Type) -> Option<Unfit> {
    let text = match kind(ty)? {
        Kind::Function => text::FUNCTION_VALUE.to_owned(),
        Kind::Object => text::TRAIT_OBJECT.to_owned(),
        Kind::Path { owned } => text::path_argument(&owned),
        Kind::Unsized { borrowed: Some(borrowed), owned } => text::unsized_argument(ty, borrowed, &owned),
        Kind::Unsized { borrowed: None, owned } => text::unsized_value(ty, &owned),
    };
    let instead = if is_sized(ty) { ty.clone() } else { syn::parse_quote!(&#ty) };
    Some(Unfit { text, instead })
}

/// What a result cannot be.
pub(super) fn result(ty: &Type) -> Option<Unfit> {
    let (text, owned) = match kind(ty)? {
        Kind::Function => (text::FUNCTION_VALUE.to_owned(), None),
        Kind::Object => (text::TRAIT_OBJECT.to_owned(), None),
        Kind::Path { owned } => (text::path_result(&owned), syn::parse_str(&owned).ok()),
        Kind::Unsized { owned, .. } => (text::unsized_value(ty, &owned), syn::parse_str(&owned).ok()),
    };
    let boxed = || if is_sized(ty) { ty.clone() } else { syn::parse_quote!(::std::boxed::Box<#ty>) };
    Some(Unfit { text, instead: owned.unwrap_or_else(boxed) })
}

/// What the target of a reference cannot be, even if it were taken by value.
pub(super) fn behind_reference(ty: &Type) -> Option<&'static str> {
    match kind(ty)? {
        Kind::Function => Some(text::FUNCTION_VALUE),
        Kind::Object => Some(text::TRAIT_OBJECT),
        Kind::Path { .. } | Kind::Unsized { .. } => None,
    }
}

enum Kind {
    /// A pointer to a function, or anything with `dyn Fn(..)` in it.
    Function,
    /// `dyn Trait`. A box of one may travel: there are crates that see to it.
    Object,
    /// `std::path::Path`.
    Path { owned: String },
    /// It has no size of its own, and these types instead.
    Unsized { borrowed: Option<&'static str>, owned: String },
}

fn kind(ty: &Type) -> Option<Kind> {
    match types::peel(ty) {
        Type::FnPtr(_) => Some(Kind::Function),
        Type::TraitObject(object) if is_function(object) => Some(Kind::Function),
        Type::TraitObject(_) => Some(Kind::Object),
        Type::Slice(slice) => {
            let borrowed = types::is_plain(&slice.elem, "u8").then_some("&[u8]");
            Some(Kind::Unsized { borrowed, owned: format!("Vec<{}>", crate::print::tokens(&slice.elem)) })
        }
        Type::Path(path) if path.path.is_ident("str") => {
            Some(Kind::Unsized { borrowed: Some("&str"), owned: "String".to_owned() })
        }
        Type::Path(path) if is_std_path(path) => {
            Some(Kind::Path { owned: format!("{}Buf", crate::print::tokens(path)) })
        }
        other => has_function(other).then_some(Kind::Function),
    }
}

/// Whether this is the `Path` of the standard library, as it is for `&Path`. A type of the user that is called so
/// can be told by the module that it is written with.
fn is_std_path(ty: &TypePath) -> bool {
    let mut last = ty.path.segments.iter().rev();
    last.next().is_some_and(|last| last.ident == "Path" && last.arguments.is_none())
        && last.next().is_none_or(|module| module.ident == "path")
}

fn has_function(ty: &Type) -> bool {
    match types::peel(ty) {
        Type::FnPtr(_) => true,
        Type::TraitObject(object) => is_function(object),
        Type::Tuple(tuple) => tuple.elems.iter().any(has_function),
        Type::Array(array) => has_function(&array.elem),
        other => {
            types::last_segment(other).is_some_and(|last| types::type_arguments(last).into_iter().any(has_function))
        }
    }
}

fn is_function(object: &TypeTraitObject) -> bool {
    object.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            let name = bound.path.segments.last().map(|last| last.ident.to_token_stream().to_string());
            matches!(name.as_deref(), Some("Fn" | "FnMut" | "FnOnce"))
        }
        _ => false,
    })
}

fn is_sized(ty: &Type) -> bool {
    let ty = types::peel(ty);
    !matches!(ty, Type::TraitObject(_) | Type::Slice(_))
        && !matches!(ty, Type::Path(path) if path.path.is_ident("str") || is_std_path(path))
}
