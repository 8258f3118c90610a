//! The result of an exposed method and what its caller gets.

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{ReturnType, Type};

use super::types;
use crate::errors::{Errors, text};
use crate::model::{Answer, ResultShape};

/// What a return type comes to.
pub(super) struct Returned {
    pub(super) shape: ResultShape,
    /// What a caller gets, as far as it can be told.
    pub(super) answer: Option<Answer>,
    /// The answer is inside of an `Uncached`.
    pub(super) is_uncached: bool,
}

impl Returned {
    fn new(shape: ResultShape, answer: Option<Answer>) -> Self {
        Self { shape, answer, is_uncached: false }
    }
}

/// What is known about the method before its return type is read.
pub(super) struct Context<'a> {
    pub(super) method: &'a str,
    /// Where `#[no_reply]` stands.
    pub(super) no_reply: Option<Span>,
    /// The type that its `Reply` takes, if it has one.
    pub(super) reply: Option<&'a Answer>,
    pub(super) self_type: &'a Type,
    pub(super) errors: &'a Errors,
}

/// Reads a return type.
pub(super) fn read(output: &ReturnType, context: &Context<'_>) -> Returned {
    let unit: Type = syn::parse_quote!(());
    let ty = match output {
        ReturnType::Default => &unit,
        ReturnType::Type(_, ty) => &**ty,
    };
    let Context { method, errors, .. } = context;
    if let Some(no_reply) = context.no_reply {
        if context.reply.is_some() {
            errors.at_span(no_reply, text::no_reply_reply(method));
        } else if !types::is_unit(ty) {
            errors.at(ty, text::no_reply_result(method));
        }
        return Returned::new(ResultShape::Nothing, Some(answer(&unit, context)));
    }
    if let Some(reply) = context.reply {
        if !types::is_unit(ty) {
            errors.at(ty, text::reply_and_result(method));
        }
        return Returned::new(ResultShape::Deferred, Some(reply.clone()));
    }
    value(ty, context)
}

fn value(ty: &Type, context: &Context<'_>) -> Returned {
    let errors = context.errors;
    let last = types::last_segment(ty);
    let first_type = last.and_then(|last| types::type_arguments(last).first().copied().cloned());
    match last.map(|last| last.ident.to_string()) {
        Some(name) if name == "Result" => match first_type {
            Some(ty) => owned(&ty, context, ResultShape::Fallible),
            None => {
                errors.at(ty, text::RESULT_WITHOUT_TYPES);
                Returned::new(ResultShape::Nothing, None)
            }
        },
        // Without parameters it may well be a struct; the expansion asks the compiler about those.
        Some(name) if name.ends_with("Result") && first_type.is_some() => {
            errors.at(ty, text::RESULT_ALIAS);
            let answer = first_type.map(|ty| answer(&ty, context));
            Returned::new(ResultShape::Nothing, answer)
        }
        _ => owned(ty, context, ResultShape::Plain),
    }
}

/// Checks that an answer can travel.
fn owned(ty: &Type, context: &Context<'_>, shape: ResultShape) -> Returned {
    let inner = uncached(ty);
    if let Some(inner) = inner
        && types::last_segment(inner).is_some_and(|last| last.ident == "Result")
    {
        context.errors.at(ty, text::UNCACHED_RESULT);
        return Returned::new(ResultShape::Nothing, Some(answer(inner, context)));
    }
    let ty = inner.unwrap_or(ty);
    let tokens = ty.to_token_stream();
    let mistake = if let Some(word) = types::first_impl(tokens.clone()) {
        Some((word, text::IMPL_RESULT))
    } else {
        types::first_borrow(tokens).map(|borrow| (borrow, text::BORROWED_RESULT))
    };
    if let Some((guilty, text)) = mistake {
        context.errors.at(guilty, text);
        return Returned::new(ResultShape::Nothing, None);
    }
    if let Some(nested) = types::nested_option(ty) {
        context.errors.at(nested, text::NESTED_OPTION);
    }
    Returned { shape, answer: Some(answer(ty, context)), is_uncached: inner.is_some() }
}

/// The `T` of an `Uncached<T>`.
fn uncached(ty: &Type) -> Option<&Type> {
    let last = types::last_segment(ty).filter(|last| last.ident == "Uncached")?;
    match types::type_arguments(last)[..] {
        [inner] => Some(inner),
        _ => None,
    }
}

fn answer(ty: &Type, context: &Context<'_>) -> Answer {
    let ty = types::without_self(ty, context.self_type);
    let form = types::owned_form(&ty);
    Answer { ty, form }
}

/// Where the `E` of a `Result<T, E>` stands; the whole type where an alias hides it.
pub(super) fn error_place(output: &ReturnType) -> Span {
    let ReturnType::Type(_, ty) = output else {
        return output.span();
    };
    let types = types::last_segment(ty).map(types::type_arguments).unwrap_or_default();
    types.get(1).map_or_else(|| ty.span(), |error| error.span())
}

/// The type of the errors as it is written, or the alias that hides it.
pub(super) fn error(output: &ReturnType) -> Option<String> {
    let ReturnType::Type(_, ty) = output else { return None };
    let types = types::last_segment(ty).map(types::type_arguments).unwrap_or_default();
    Some(types.get(1).map_or_else(|| crate::print::tokens(ty), crate::print::tokens))
}
