//! One exposed method: its attributes, its signature and the rules for both.

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{
    Attribute, Block, FnArg, GenericParam, Generics, ImplItemFn, Meta, Path, Receiver, ReceiverKind, Safety, Signature,
    Type,
};

use super::attributes::MethodAttributes;
use super::parameters::Parameters;
use super::result::Returned;
use super::{docs, generics, parameters, result};
use crate::errors::{Errors, text};
use crate::model::{Method, ResultShape, StubMethod};
use crate::words;

/// What the methods of a service need to know of it.
pub(super) struct OfService<'a> {
    pub(super) self_type: &'a Type,
    pub(super) params: &'a Generics,
    /// The path of the runtime crate.
    pub(super) krate: &'a Path,
}

/// Reads an exposed method, from which our attributes were taken already.
///
/// There is none if its answer cannot be told; any other mistake leaves a method that is good
/// enough for a sketch.
pub(super) fn exposed(
    item: &mut ImplItemFn,
    attributes: MethodAttributes,
    service: &OfService<'_>,
    errors: &Errors,
) -> Option<Method> {
    let name = item.sig.ident.unraw().to_string();
    check_policies(&name, &attributes, errors);
    check_signature(&name, &item.sig, errors);

    let mut parameters = parameters::read(&mut item.sig, service, errors);
    parameters::add_checks(attributes.specs, &name, &mut parameters, errors);
    let returned = result::read(
        &item.sig.output,
        &result::Context {
            method: &name,
            no_reply: attributes.no_reply,
            reply: parameters.reply.as_ref(),
            service,
            errors,
        },
    );
    replace_body(&mut item.sig, &mut item.block, &parameters, &returned, service.krate);
    let stub = StubMethod {
        ident: item.sig.ident.clone(),
        docs: named(&item.attrs, "doc"),
        carried: carried(&item.attrs),
        cfgs: named(&item.attrs, "cfg"),
        generics: item.sig.generics.clone(),
        arguments: parameters.stub,
        answer: returned.answer?,
        no_reply: attributes.no_reply.is_some(),
    };
    Some(Method {
        stub,
        wire_name: name,
        docs: docs::text(&item.attrs),
        policies: attributes.policies,
        invoker: attributes.invoker,
        parameters: parameters.all,
        result: returned.shape,
        is_uncached: returned.is_uncached,
        no_reply: attributes.no_reply,
        error_place: result::error_place(&item.sig.output),
        error: result::error(&item.sig.output).filter(|_| returned.shape == ResultShape::Fallible),
        error_is_generic: generics::mentions(item.sig.output.to_token_stream(), service.params),
    })
}

/// Reads the attributes of a method that is not exposed: none of ours may stand there.
pub(super) fn not_exposed(item: &mut ImplItemFn, attributes: &MethodAttributes, errors: &Errors) {
    let misplaced = [(attributes.no_reply, words::NO_REPLY), (attributes.arg_spec, words::ARG_SPEC)];
    for (span, word) in misplaced {
        if let Some(span) = span {
            errors.at_span(span, text::not_exposed(word));
        }
    }
    parameters::strip(&mut item.sig, errors);
}

/// The attributes of one name.
pub(super) fn named(attributes: &[Attribute], name: &str) -> Vec<Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident(name)).cloned().collect()
}

/// The attributes of a method that hold for its stub.
///
/// What a user expects of the method need not happen in the stub, so there it is allowed.
fn carried(attributes: &[Attribute]) -> Vec<Attribute> {
    let expected = named(attributes, "expect").into_iter().map(|mut attribute| {
        if let Meta::List(list) = &mut attribute.meta {
            list.path = syn::parse_quote!(allow);
        }
        attribute
    });
    let as_it_is = ["deprecated", "must_use", "allow"].into_iter().flat_map(|name| named(attributes, name));
    as_it_is.chain(expected).collect()
}

/// Takes the body out of a method whose types were mistakes and are others now, so that the compiler does not
/// find them a second time in there.
pub(super) fn replace_body(
    sig: &mut Signature,
    body: &mut Block,
    parameters: &Parameters,
    returned: &Returned,
    krate: &Path,
) {
    if let Some(answer) = &returned.instead {
        result::replace_answer(&mut sig.output, answer);
    }
    if parameters.is_changed || returned.instead.is_some() {
        *body = syn::parse_quote!({ #krate::__private::macro_failed() });
    }
}

fn check_policies(name: &str, attributes: &MethodAttributes, errors: &Errors) {
    // After a mistake in `#[expose]` the policy may be the very thing that was mistyped.
    if attributes.policies.is_empty()
        && !attributes.expose_is_broken
        && let Some(span) = attributes.exposed
    {
        errors.at_span(span, text::no_policy(name));
    }
}

fn check_signature(name: &str, sig: &Signature, errors: &Errors) {
    if words::OF_STUB.contains(&name) {
        errors.at(&sig.ident, text::reserved_method(name));
    }
    if let Some(word) = sig.asyncness {
        errors.at(word, text::async_method(name));
    }
    if let Safety::Unsafe(word) = sig.safety {
        errors.at(word, text::unsafe_method(name));
    }
    check_generics(name, sig, errors);
    match sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => check_receiver(name, receiver, errors),
        _ => errors.at(&sig.ident, text::receiver(name, text::NO_RECEIVER)),
    }
}

pub(super) fn check_generics(name: &str, sig: &Signature, errors: &Errors) {
    let params = &sig.generics.params;
    if params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_))) {
        errors.at(params, text::generic_method(name));
    } else if !params.is_empty() {
        errors.at(params, text::lifetime_method(name));
    }
}

fn check_receiver(name: &str, receiver: &Receiver, errors: &Errors) {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, None) => {}
        ReceiverKind::Reference(_, _, Some(word)) => {
            errors.at(word, text::receiver(name, text::EXCLUSIVE));
        }
        ReceiverKind::Value => errors.at(receiver, text::receiver(name, text::BY_VALUE)),
        _ => errors.at(receiver, text::receiver(name, text::TYPED_RECEIVER)),
    }
}
