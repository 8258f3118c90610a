//! A whole `#[service]` impl block.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::{ExprPath, Ident, ImplItem, ItemImpl};

use super::options::{self, ImplOptions};
use super::{another_block, attributes, docs, generics, hooks, method, misspelt, policy, types, unread};
use crate::errors::{Errors, text};
use crate::model::{Hooks, Method, Names, Service, Sketch};
use crate::words;

/// What an impl block comes to.
pub(crate) struct Block {
    /// The user's block without our attributes.
    pub(crate) item: ItemImpl,
    /// The service, or what can be told of it when there are mistakes.
    pub(crate) service: Result<Service, Option<Sketch>>,
}

/// Reads an impl block. The mistakes are in `errors`; there are some if there is no service.
pub(crate) fn read(options: TokenStream, mut item: ItemImpl, errors: &Errors) -> Block {
    for attribute in attributes::take(&mut item.attrs, words::SERVICE) {
        errors.at(attribute.path(), text::attribute_twice(words::SERVICE));
    }
    let options = options::of_impl(options, errors);
    let ident = service_ident(&item, errors);
    let self_type = (*item.self_ty).clone();
    let mut mentioned = Vec::new();
    let mut hooks = Hooks::default();
    generics::take_unused(&mut item, errors);
    let params = item.generics.clone();
    let service = method::OfService { self_type: &self_type, params: &params, krate: &options.krate };
    attributes::without_crate(&mut item, &options.krate);
    // What else is wrong with the impl of a trait is no matter.
    let unheard = Errors::default();
    let of_methods = if item.trait_.is_none() { errors } else { &unheard };
    let methods = read_methods(&mut item, &service, (&mut mentioned, &mut hooks), of_methods);
    let stub_is_taken = has_stub(&item, errors);
    // What a macro stands for may be anything. After a mistake a method may be missing that was meant.
    let unknown = item.items.iter().any(|item| matches!(item, ImplItem::Macro(_) | ImplItem::Verbatim(_)));
    if methods.is_empty() && hooks.is_empty() && !unknown && errors.is_empty() {
        errors.at(&item.self_ty, text::NOTHING_EXPOSED);
    }
    mentioned.extend(hooks.on_message.iter().flat_map(|hook| &hook.policies).flat_map(policy::mentioned));
    let policies = methods.iter().flat_map(|method| &method.policies);
    let policies = policies.chain(hooks.on_message.iter().flat_map(|hook| &hook.policies));
    policy::check_called(policies, |name| takes_self(&item, name), errors);
    let Some(ident) = ident else {
        return Block { item, service: Err(None) };
    };
    let first = another_block::remember(&item, &methods);
    if let Some(first) = &first {
        errors.at(&ident, text::another_block(&ident.unraw().to_string(), first.line));
    }
    let docs = docs::text(&item.attrs);
    let ImplOptions { options, vis, krate } = options;
    let params = generics::read(&item, &krate, &options, &ident, errors);
    let cfgs = method::named(&item.attrs, "cfg");
    let stub = format_ident!("{}Stub", ident.unraw(), span = ident.span());
    let api = format_ident!("{}Api", ident.unraw(), span = ident.span());
    let names = Names { self_type, ident, stub, api, vis, krate, cfgs, params };
    let service = if errors.is_empty() {
        Ok(Service { names, docs, options, methods, hooks })
    } else {
        // A reserved name on the stub would be a second mistake.
        let stubs = methods
            .into_iter()
            .filter(|method| !words::OF_STUB.contains(&method.wire_name.as_str()))
            .filter(|method| first.as_ref().is_none_or(|first| !first.methods.contains(&method.wire_name)))
            .map(|method| method.stub)
            .collect();
        Err(Some(Sketch { names, stubs, mentioned, stub_is_taken, only_methods: first.is_some() }))
    };
    Block { item, service }
}

/// The name of the service's type, if the block is one of its own methods.
fn service_ident(item: &ItemImpl, errors: &Errors) -> Option<Ident> {
    if let Some((path, _)) = &item.trait_ {
        errors.at(path, text::TRAIT_IMPL);
        return None;
    }
    match types::last_segment(&item.self_ty) {
        Some(last) => Some(last.ident.clone()),
        None => {
            errors.at(&item.self_ty, text::UNNAMED_SERVICE);
            None
        }
    }
}

/// Reads the methods and takes our attributes off every item of the block.
fn read_methods(
    block: &mut ItemImpl,
    service: &method::OfService<'_>,
    (mentioned, hooks): (&mut Vec<ExprPath>, &mut Hooks),
    errors: &Errors,
) -> Vec<Method> {
    let mut methods = Vec::new();
    // The names of methods that exist whatever is configured.
    let mut names = HashSet::new();
    block.items.retain_mut(|item| {
        let ImplItem::Fn(function) = item else {
            misplaced(item, errors);
            return true;
        };
        misspelt::of_method(&mut function.attrs, words::OF_METHODS, errors);
        if hooks::read(function, hooks, errors) {
            for attribute in attributes::take(&mut function.attrs, words::EXPOSE) {
                errors.at(attribute.path(), text::EXPOSED_HOOK);
            }
            return true;
        }
        let attributes = attributes::of_method(&mut function.attrs, errors);
        mentioned.extend(attributes.mentioned());
        if attributes.exposed.is_none() {
            method::not_exposed(function, &attributes, errors);
            return true;
        }
        let name = function.sig.ident.unraw().to_string();
        let always = method::named(&function.attrs, "cfg").is_empty();
        if always && !names.insert(name.clone()) {
            // The compiler would report the second method as well, so it goes.
            errors.at(&function.sig.ident, text::same_wire_name(&name));
            return false;
        }
        if let Some(variadic) = &function.sig.variadic {
            // As above: to the compiler such a method is an error of its own.
            errors.at(variadic, text::variadic_method(&name));
            return false;
        }
        methods.extend(method::exposed(function, attributes, service, errors));
        true
    });
    methods
}

/// Reports our attributes on something that is not a method.
fn misplaced(item: &mut ImplItem, errors: &Errors) {
    let attrs = match item {
        ImplItem::Const(item) => &mut item.attrs,
        ImplItem::Type(item) => &mut item.attrs,
        ImplItem::Macro(item) => &mut item.attrs,
        // A method without a body, which the compiler reports.
        ImplItem::Verbatim(item) => {
            *item = unread::stripped(std::mem::take(item), true);
            return;
        }
        _ => return,
    };
    for word in words::OF_METHODS {
        for attribute in attributes::take(attrs, word) {
            errors.at(attribute.path(), text::not_on_a_method(word));
        }
    }
}

/// Whether a method of this name is called on the service.
fn takes_self(item: &ItemImpl, name: &str) -> bool {
    item.items.iter().any(|item| {
        matches!(item, ImplItem::Fn(function) if function.sig.ident == name && function.sig.receiver().is_some())
    })
}

/// Reports a function of the user that is called as the one the macro adds.
fn has_stub(item: &ItemImpl, errors: &Errors) -> bool {
    let taken = item.items.iter().find_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == words::STUB => Some(&function.sig.ident),
        _ => None,
    });
    if let Some(ident) = taken {
        errors.at(ident, text::stub_is_taken());
    }
    taken.is_some()
}
