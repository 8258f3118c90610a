//! The methods that run at moments of a service's life.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Expr, FnArg, ImplItemFn, Meta, ReceiverKind, ReturnType, Type};

use super::attributes::{self, list};
use super::keyed::{Known, each_option};
use super::{method, policy, result, types};
use crate::errors::{Errors, text};
use crate::model::{Hook, Hooks};
use crate::words;

/// Takes the attributes of a hook off a method, and keeps what they say. `false` if it is none.
pub(super) fn read(item: &mut ImplItemFn, hooks: &mut Hooks, errors: &Errors) -> bool {
    let mut any = false;
    for word in [words::ON_START, words::ON_MESSAGE, words::ON_SHUTDOWN] {
        for attribute in attributes::take(&mut item.attrs, word) {
            if any {
                errors.at(attribute.path(), text::two_hooks(word));
                continue;
            }
            any = true;
            let mut policies = Vec::new();
            if word == words::ON_MESSAGE {
                policies = read_policies(&attribute, errors);
            } else if !matches!(attribute.meta, Meta::Path(_)) {
                errors.at(&attribute.meta, text::takes_no_options(word));
            }
            let Some(hook) = signature(word, item, policies, errors) else { continue };
            let place = match word {
                words::ON_START => &mut hooks.on_start,
                words::ON_MESSAGE => &mut hooks.on_message,
                _ => &mut hooks.on_shutdown,
            };
            // Two that depend on `cfg` may be two of which one is there; if not, the compiler says so.
            let always = |hook: &Hook| hook.cfgs.is_empty();
            if place.iter().any(|other| always(other) || always(&hook)) {
                errors.at(attribute.path(), text::hook_twice(word));
            } else {
                place.push(hook);
            }
        }
    }
    any
}

fn read_policies(attribute: &syn::Attribute, errors: &Errors) -> Vec<Expr> {
    let known = Known { repeatable: &[words::POLICY], ..Known::new(words::ON_MESSAGE, words::OF_ON_MESSAGE) };
    let mut policies = Vec::new();
    let before = errors.len();
    each_option(list(attribute, errors), &known, errors, |keyword, input| {
        policies.push(policy::read(keyword, input, errors)?);
        Ok(())
    });
    if policies.is_empty() && errors.len() == before {
        errors.at(attribute.path(), text::ON_MESSAGE_POLICY);
    }
    policies
}

/// Checks that a hook can be called as it will be.
fn signature(word: &str, item: &ImplItemFn, policies: Vec<Expr>, errors: &Errors) -> Option<Hook> {
    let sig = &item.sig;
    let takes_self =
        sig.receiver().is_some_and(|receiver| matches!(receiver.kind, ReceiverKind::Reference(_, _, None)));
    let others: Vec<_> = sig
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(typed) => Some(&*typed.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let most = usize::from(word != words::ON_SHUTDOWN);
    let least = usize::from(word == words::ON_MESSAGE);
    let is_plain = sig.asyncness.is_none() && sig.generics.params.is_empty();
    let returns = match &sig.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some(&**ty),
    };
    let is_fallible = returns.is_some_and(is_result);
    let returns_rightly = returns.is_none_or(is_unit) || (word == words::ON_START && is_fallible);
    if !takes_self || !(least..=most).contains(&others.len()) || !is_plain {
        errors.at(&sig.ident, text::hook_signature(word));
        return None;
    }
    if !returns_rightly {
        errors.at(returns, text::hook_signature(word));
        return None;
    }
    let takes = others.first().copied();
    if let Some(other) = takes.filter(|ty| !may_be_handed(word, ty)) {
        errors.at(other, text::hook_signature(word));
        return None;
    }
    let error_place = returns.map_or_else(Span::call_site, |_| result::error_place(&sig.output));
    let cfgs = method::named(&item.attrs, "cfg");
    Some(Hook { ident: sig.ident.clone(), cfgs, policies, takes: takes.map(Spanned::span), is_fallible, error_place })
}

/// Whether the pool may have such a thing for the hook, whose type may have another name here.
fn may_be_handed(word: &str, ty: &Type) -> bool {
    let (is_reference, target) = match types::peel(ty) {
        Type::Reference(reference) if reference.mutability.is_none() => (true, &*reference.elem),
        other => (false, other),
    };
    let of_calls = ["Caller", "Router", "Context"].iter().any(|name| types::is_plain(target, name));
    is_reference == (word == words::ON_START) && !of_calls
}

fn is_result(ty: &Type) -> bool {
    types::last_segment(ty).is_some_and(|last| last.ident == "Result")
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}
