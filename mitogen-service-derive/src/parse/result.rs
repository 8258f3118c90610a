//! The result of an exposed method and what its caller gets.

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{ReturnType, Type};

use super::method::OfService;
use super::{generics, types, unfit};
use crate::errors::{Errors, text};
use crate::model::{Answer, ResultShape};

/// What a return type comes to.
pub(super) struct Returned {
    pub(super) shape: ResultShape,
    /// What a caller gets, as far as it can be told.
    pub(super) answer: Option<Answer>,
    /// The answer is inside of an `Uncached`.
    pub(super) is_uncached: bool,
    /// What the method would return if its type were not a mistake to the compiler as well.
    pub(super) instead: Option<Type>,
}

impl Returned {
    fn new(shape: ResultShape, answer: Option<Answer>) -> Self {
        Self { shape, answer, is_uncached: false, instead: None }
    }
}

/// What is known about the method before its return type is read.
pub(super) struct Context<'a> {
    pub(super) method: &'a str,
    /// Where `#[no_reply]` stands.
    pub(super) no_reply: Option<Span>,
    /// The type that its `Reply` takes, if it has one.
    pub(super) reply: Option<&'a Answer>,
    pub(super) service: &'a OfService<'a>,
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
        return Returned::new(ResultShape::Nothing, Some(answer(&unit, context.service)));
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
            let answer = first_type.map(|ty| answer(&ty, context.service));
            Returned::new(ResultShape::Nothing, answer)
        }
        _ => owned(ty, context, ResultShape::Plain),
    }
}

/// Reads the type of an answer.
fn owned(ty: &Type, context: &Context<'_>, shape: ResultShape) -> Returned {
    let inner = uncached(ty);
    if let Some(inner) = inner
        && types::last_segment(inner).is_some_and(|last| last.ident == "Result")
    {
        context.errors.at(ty, text::UNCACHED_RESULT);
        return Returned::new(ResultShape::Nothing, Some(answer(inner, context.service)));
    }
    let ty = inner.unwrap_or(ty);
    match check_answer(ty, context.errors) {
        Verdict::Fine => {
            Returned { is_uncached: inner.is_some(), ..Returned::new(shape, Some(answer(ty, context.service))) }
        }
        Verdict::Unknown => Returned::new(ResultShape::Nothing, None),
        Verdict::Instead(ty) => {
            let returned = Returned::new(ResultShape::Nothing, Some(answer(&ty, context.service)));
            Returned { instead: Some(*ty), ..returned }
        }
    }
}

/// What [`check_answer`] says of a type.
pub(super) enum Verdict {
    /// A caller gets it, for all that a macro can see.
    Fine,
    /// A caller would get this.
    Instead(Box<Type>),
    /// Nobody knows what a caller would get.
    Unknown,
}

/// Checks that an answer can travel.
pub(super) fn check_answer(ty: &Type, errors: &Errors) -> Verdict {
    if let Some(unfit) = unfit::result(ty) {
        errors.at(ty, unfit.text);
        return Verdict::Instead(Box::new(unfit.instead));
    }
    let tokens = ty.to_token_stream();
    let unknown = match types::peel(ty) {
        Type::Never(_) => Some((tokens.clone(), text::NEVER_RESULT)),
        _ => types::first_placeholder(tokens.clone()).map(|word| (word.into(), text::INFERRED_RESULT)),
    };
    if let Some((guilty, text)) = unknown {
        errors.at(guilty, text);
        return Verdict::Instead(Box::new(syn::parse_quote!(())));
    }
    let mistake = if let Some(word) = types::first_impl(tokens.clone()) {
        Some((word, text::IMPL_RESULT))
    } else {
        types::first_borrow(tokens).map(|borrow| (borrow, text::BORROWED_RESULT))
    };
    if let Some((guilty, text)) = mistake {
        errors.at(guilty, text);
        return Verdict::Unknown;
    }
    if let Some((option, text)) = types::lost_option(ty) {
        errors.at(option, text);
    }
    Verdict::Fine
}

/// Puts another answer into a return type, in the place of the one that was read from it.
pub(super) fn replace_answer(output: &mut ReturnType, answer: &Type) {
    let ReturnType::Type(_, ty) = output else { return };
    let mut place = &mut **ty;
    while types::last_segment(place).is_some_and(|last| last.ident == "Result" || last.ident == "Uncached") {
        let Some(inner) = types::first_argument(place) else { return };
        place = inner;
    }
    *place = answer.clone();
}

/// The `T` of an `Uncached<T>`.
fn uncached(ty: &Type) -> Option<&Type> {
    let last = types::last_segment(ty).filter(|last| last.ident == "Uncached")?;
    match types::type_arguments(last)[..] {
        [inner] => Some(inner),
        _ => None,
    }
}

/// What a caller gets of this type.
pub(super) fn answer(ty: &Type, service: &OfService<'_>) -> Answer {
    let ty = types::without_self(ty, service.self_type);
    Answer { form: types::owned_form(&ty), is_generic: generics::mentions(ty.to_token_stream(), service.params), ty }
}

/// The `E` of a `Result<T, E>`, if no alias hides it.
fn error_type(output: &ReturnType) -> Option<&Type> {
    let ReturnType::Type(_, ty) = output else { return None };
    types::type_arguments(types::last_segment(ty)?).get(1).copied()
}

/// Where the type of the errors stands; the whole type where an alias hides it.
pub(super) fn error_place(output: &ReturnType) -> Span {
    match (error_type(output), output) {
        (Some(error), _) => error.span(),
        (None, ReturnType::Type(_, ty)) => ty.span(),
        (None, ReturnType::Default) => output.span(),
    }
}

/// The type of the errors as it is written, or the alias that hides it.
pub(super) fn error(output: &ReturnType) -> Option<String> {
    let ReturnType::Type(_, ty) = output else { return None };
    Some(error_type(output).map_or_else(|| crate::print::tokens(ty), crate::print::tokens))
}
