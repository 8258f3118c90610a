//! `#[function]`: its options and the function below it.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, FnArg, Generics, ItemFn, Pat, Path, ReturnType, Safety, Signature, Type};

use super::keyed::{Known, each_option};
use super::method::OfService;
use super::parameters::Parameters;
use super::{attributes, docs, method, misspelt, options, parameters, result, types};
use crate::errors::{Errors, text};
use crate::model::{Function, Injected, Method, Parameter, StubMethod};
use crate::words;

/// Reads the function, from which our attributes are taken, and its options.
///
/// The mistakes are in `errors`; there are some if there is no function.
pub(crate) fn read(tokens: TokenStream, item: &mut ItemFn, errors: &Errors) -> Option<Function> {
    let krate = read_options(tokens, errors);
    let name = item.sig.ident.unraw().to_string();
    misspelt::of_method(&mut item.attrs, words::OF_FUNCTIONS, errors);
    let attributes = attributes::of_method(&mut item.attrs, errors);
    for (place, word) in [(attributes.exposed, words::EXPOSE), (attributes.no_reply, words::NO_REPLY)] {
        if let Some(place) = place {
            errors.at_span(place, text::not_on_a_function(word));
        }
    }
    check_signature(&name, &item.sig, errors);

    // Outside of an impl block there is no `Self`; where it is written, the compiler says so.
    let self_type: Type = syn::parse_quote!(Self);
    let outside = OfService { self_type: &self_type, params: &Generics::default(), krate: &krate };
    let mut parameters = parameters::read(&mut item.sig, &outside, errors);
    parameters::add_checks(attributes.specs, &name, &mut parameters, errors);
    check_parameters(&name, &item.sig, &parameters, errors);
    let context = result::Context { method: &name, no_reply: None, reply: None, service: &outside, errors };
    let returned = result::read(&item.sig.output, &context);
    check_error(&item.sig.output, errors);
    method::replace_body(&mut item.sig, &mut item.block, &parameters, &returned, &krate);
    if !errors.is_empty() {
        return None;
    }

    let docs = docs::text(&item.attrs);
    let stub = StubMethod {
        ident: item.sig.ident.clone(),
        docs: Vec::new(),
        carried: Vec::new(),
        cfgs: Vec::new(),
        generics: item.sig.generics.clone(),
        arguments: parameters.stub,
        answer: returned.answer?,
        no_reply: false,
    };
    let method = Method {
        stub,
        wire_name: name,
        docs,
        policies: vec![syn::parse_quote!(AllowParents)],
        invoker: None,
        parameters: parameters.all,
        result: returned.shape,
        is_uncached: returned.is_uncached,
        no_reply: None,
        error_place: result::error_place(&item.sig.output),
        error: None,
        error_is_generic: false,
    };
    let mut item = item.clone();
    let (outer, inner): (Vec<Attribute>, Vec<Attribute>) = item.attrs.drain(..).partition(stays_outside);
    item.attrs = inner;
    Some(Function { krate, outer, item, method })
}

fn read_options(tokens: TokenStream, errors: &Errors) -> Path {
    let known = Known::new(words::FUNCTION, words::OF_FUNCTION);
    let mut krate = options::usual_crate();
    each_option(tokens, &known, errors, |keyword, input| {
        krate = options::crate_path(keyword, input)?;
        Ok(())
    });
    krate
}

fn check_signature(name: &str, sig: &Signature, errors: &Errors) {
    if words::OF_GENERATED.contains(&name) {
        errors.at(&sig.ident, text::reserved_function(name));
    }
    if let Some(word) = sig.constness {
        errors.at(word, text::plain_function(name));
    }
    if let Some(word) = sig.asyncness {
        errors.at(word, text::async_function(name));
    }
    if let Safety::Unsafe(word) = sig.safety {
        errors.at(word, text::unsafe_method(name));
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, text::plain_function(name));
    }
    method::check_generics(name, sig, errors);
    if let Some(FnArg::Receiver(receiver)) = sig.inputs.first() {
        errors.at(receiver, text::function_with_self(name));
    }
}

fn check_parameters(name: &str, sig: &Signature, parameters: &Parameters, errors: &Errors) {
    for input in &sig.inputs {
        if let FnArg::Typed(typed) = input
            && let Pat::Ident(pat) = &*typed.pat
            && pat.ident.unraw() == name
        {
            errors.at(&pat.ident, text::named_as_the_function(name));
        }
    }
    if parameters
        .all
        .iter()
        .any(|parameter| matches!(parameter, Parameter::Injected(provided) if provided.what == Injected::Reply))
    {
        let reply = sig.inputs.iter().find_map(|input| match input {
            FnArg::Typed(typed) => types::last_segment(&typed.ty).filter(|last| last.ident == "Reply"),
            FnArg::Receiver(_) => None,
        });
        errors.at(reply, text::reply_in_function(name));
    }
}

/// An error type that has no name would do for a method, but not for a pointer to a function.
fn check_error(output: &ReturnType, errors: &Errors) {
    let ReturnType::Type(_, ty) = output else { return };
    let types = types::last_segment(ty).map(types::type_arguments).unwrap_or_default();
    if let Some(word) = types.get(1).and_then(|error| types::first_impl(error.to_token_stream())) {
        errors.at(word, text::IMPL_ERROR);
    }
}

/// Attributes of what has the function's name, where those for lints hold for the body as well; all
/// others are the body's own.
fn stays_outside(attribute: &Attribute) -> bool {
    ["cfg", "doc", "deprecated", "allow", "expect", "warn", "deny", "forbid"]
        .iter()
        .any(|name| attribute.path().is_ident(name))
}
