//! Recognises the types that mean something to us, and those that cannot travel.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{GenericArgument, Lifetime, Path, PathArguments, PathSegment, Type, TypeReference};

use crate::errors::text;
use crate::model::Form;

/// The type without the invisible brackets of a macro, and without parentheses.
pub(super) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        other => other,
    }
}

/// The path of a type that is one.
pub(super) fn path(ty: &Type) -> Option<&Path> {
    match peel(ty) {
        Type::Path(path) => Some(&path.path),
        _ => None,
    }
}

/// The last segment of a type that is a path.
pub(super) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    path(ty)?.segments.last()
}

/// Whether a type is a path that ends in this name and has no parameters.
pub(super) fn is_plain(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == name && last.arguments.is_none())
}

/// Whether a path begins with this one and goes on; a leading `::` does not count.
pub(super) fn is_in(path: &Path, module: &Path) -> bool {
    path.segments.len() > module.segments.len()
        && path.segments.iter().zip(&module.segments).all(|(part, of_module)| part.ident == of_module.ident)
}

/// The types among the parameters of a path segment.
pub(super) fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// The first type among the parameters of a type that is a path.
pub(super) fn first_argument(ty: &mut Type) -> Option<&mut Type> {
    let last = match ty {
        Type::Group(group) => return first_argument(&mut group.elem),
        Type::Paren(paren) => return first_argument(&mut paren.elem),
        Type::Path(path) => path.path.segments.last_mut()?,
        _ => return None,
    };
    let PathArguments::AngleBracketed(arguments) = &mut last.arguments else { return None };
    arguments.args.iter_mut().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The type with another first parameter.
pub(super) fn with_argument(ty: &Type, argument: Type) -> Option<Type> {
    let mut ty = ty.clone();
    *first_argument(&mut ty)? = argument;
    Some(ty)
}

/// Whether a type is the empty tuple.
pub(super) fn is_unit(ty: &Type) -> bool {
    matches!(peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// How an owned type travels.
pub(super) fn owned_form(ty: &Type) -> Form {
    if is_plain(ty, "PathBuf") { Form::PathBuf } else { Form::Value }
}

/// How a reference travels, if it can.
pub(super) fn borrowed_form(reference: &TypeReference) -> Option<Form> {
    let target = peel(&reference.elem);
    match target {
        Type::Slice(slice) if is_plain(&slice.elem, "u8") => Some(Form::Bytes),
        _ if is_plain(target, "str") => Some(Form::Str),
        _ if is_plain(target, "Path") => Some(Form::Path),
        _ => None,
    }
}

/// What to write instead of a reference that cannot travel.
pub(super) fn instead_of_borrow(reference: &TypeReference) -> String {
    let target = peel(&reference.elem);
    if let Type::Slice(slice) = target {
        return format!("Vec<{}>", crate::print::tokens(&slice.elem));
    }
    if is_plain(target, "String") {
        return "&str".to_owned();
    }
    if is_plain(target, "PathBuf") {
        return "&Path".to_owned();
    }
    if is_plain(target, "OsStr") || is_plain(target, "OsString") {
        return "&Path".to_owned();
    }
    let bytes = last_segment(target)
        .filter(|last| last.ident == "Vec")
        .is_some_and(|last| matches!(type_arguments(last)[..], [item] if is_plain(item, "u8")));
    if bytes {
        return "&[u8]".to_owned();
    }
    crate::print::tokens(target)
}

/// Whether a type is `Option<..>`.
pub(super) fn is_option(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == "Option" && !last.arguments.is_none())
}

/// Whether a type is `Option<&str>`, the one borrow that may stand inside another type.
pub(super) fn is_option_of_str(ty: &Type) -> bool {
    let Some(last) = last_segment(ty).filter(|last| last.ident == "Option") else {
        return false;
    };
    match type_arguments(last)[..] {
        [Type::Reference(reference)] => {
            reference.lifetime.is_none()
                && reference.mutability.is_none()
                && borrowed_form(reference) == Some(Form::Str)
        }
        _ => false,
    }
}

/// The first `Option`, however deep, whose `Some` cannot be told from `None`, and what to say about it.
pub(super) fn lost_option(ty: &Type) -> Option<(&Type, &'static str)> {
    match peel(ty) {
        Type::Tuple(tuple) => tuple.elems.iter().find_map(lost_option),
        Type::Array(array) => lost_option(&array.elem),
        other => {
            let arguments = type_arguments(last_segment(other)?);
            if is_option(other) && arguments.iter().any(|inner| is_option(inner)) {
                return Some((other, text::NESTED_OPTION));
            }
            if is_option(other) && arguments.iter().any(|inner| is_unit(inner)) {
                return Some((other, text::OPTION_OF_NOTHING));
            }
            arguments.into_iter().find_map(lost_option)
        }
    }
}

/// The first `&` inside a type, however deep.
///
/// Tokens are looked at rather than types, since a reference can hide in any corner of a type.
pub(super) fn first_reference(tokens: TokenStream) -> Option<TokenTree> {
    first(tokens, &|tree, _| matches!(tree, TokenTree::Punct(p) if p.as_char() == '&'))
}

/// The first `&` or lifetime other than `'static` inside a type, however deep.
pub(super) fn first_borrow(tokens: TokenStream) -> Option<TokenTree> {
    first(tokens, &|tree, next| match tree {
        TokenTree::Punct(p) if p.as_char() == '&' => true,
        TokenTree::Punct(p) if p.as_char() == '\'' => !matches!(next, Some(TokenTree::Ident(name)) if name == "static"),
        _ => false,
    })
}

/// The type with this lifetime wherever one was left out that shows: after `&`, and in place of `'_`.
pub(crate) fn with_lifetime(ty: &Type, lifetime: &Lifetime) -> TokenStream {
    replace_elided(ty.to_token_stream(), lifetime)
}

fn replace_elided(tokens: TokenStream, lifetime: &Lifetime) -> TokenStream {
    let mut trees = tokens.into_iter().peekable();
    let mut replaced = TokenStream::new();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Punct(p) if p.as_char() == '&' => {
                replaced.extend([TokenTree::Punct(p)]);
                if !matches!(trees.peek(), Some(TokenTree::Punct(p)) if p.as_char() == '\'') {
                    lifetime.to_tokens(&mut replaced);
                }
            }
            TokenTree::Punct(p) if p.as_char() == '\'' => match trees.next() {
                Some(TokenTree::Ident(name)) if name == "_" => lifetime.to_tokens(&mut replaced),
                name => replaced.extend([Some(TokenTree::Punct(p)), name].into_iter().flatten()),
            },
            TokenTree::Group(group) => {
                let mut new = Group::new(group.delimiter(), replace_elided(group.stream(), lifetime));
                new.set_span(group.span());
                replaced.extend([TokenTree::Group(new)]);
            }
            other => replaced.extend([other]),
        }
    }
    replaced
}

/// The first `_` in place of a type, however deep.
pub(super) fn first_placeholder(tokens: TokenStream) -> Option<TokenTree> {
    // That of the lifetime `'_` is an identifier as well.
    let is_lifetime = |tree: &TokenTree| matches!(tree, TokenTree::Punct(p) if p.as_char() == '\'');
    let mut after_quote = false;
    tokens.into_iter().find_map(|tree| {
        let is_free = !std::mem::replace(&mut after_quote, is_lifetime(&tree));
        match tree {
            TokenTree::Ident(word) if is_free && word == "_" => Some(word.into()),
            TokenTree::Group(group) => first_placeholder(group.stream()),
            _ => None,
        }
    })
}

/// The first `impl` inside a type, however deep.
pub(super) fn first_impl(tokens: TokenStream) -> Option<TokenTree> {
    first(tokens, &|tree, _| matches!(tree, TokenTree::Ident(word) if word == "impl"))
}

fn first(tokens: TokenStream, wanted: &dyn Fn(&TokenTree, Option<&TokenTree>) -> bool) -> Option<TokenTree> {
    let mut trees = tokens.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if wanted(&tree, trees.peek()) {
            return Some(tree);
        }
        if let TokenTree::Group(group) = &tree
            && let Some(found) = first(group.stream(), wanted)
        {
            return Some(found);
        }
    }
    None
}

/// The type with `Self` replaced by the service's type, for places where `Self` is something else.
pub(super) fn without_self(ty: &Type, self_type: &Type) -> Type {
    let replaced = replace_self(ty.to_token_stream(), self_type);
    syn::parse2(replaced).unwrap_or_else(|_| ty.clone())
}

pub(super) fn replace_self(tokens: TokenStream, self_type: &Type) -> TokenStream {
    let mut trees = tokens.into_iter().peekable();
    let mut replaced = TokenStream::new();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Ident(ident) if ident == "Self" => {
                let starts_path = matches!(trees.peek(), Some(TokenTree::Punct(p)) if p.as_char() == ':');
                replaced.extend(if starts_path { quote!(<#self_type>) } else { quote!(#self_type) });
            }
            TokenTree::Group(group) => {
                let inner = replace_self(group.stream(), self_type);
                let mut new = Group::new(group.delimiter(), inner);
                new.set_span(group.span());
                replaced.extend([TokenTree::Group(new)]);
            }
            other => replaced.extend([other]),
        }
    }
    replaced
}
