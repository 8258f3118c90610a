//! What the options of the impl block and of the type come to.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote_spanned};

use super::{boxed_invoker, private, sharing, site};
use crate::errors::text;
use crate::model::Service;
use crate::words;

/// The body of `Service::invoker`.
pub(super) fn invoker(service: &Service) -> TokenStream {
    let private = private(&service.names);
    if let Some(given) = &service.options.invoker {
        return boxed_invoker(&given.value, &sharing::of_service(service, &private), &private);
    }
    let self_type = &service.names.self_type;
    quote_spanned! {site()=>
        use #private::StructOptions as _;
        match <#self_type>::__MITOGEN_SERVICE_INVOKER {
            ::core::option::Option::Some(__make) => __make(),
            ::core::option::Option::None => #private::default_invoker(),
        }
    }
}

/// Asserts that the type does not carry the options of the impl block as well.
///
/// The two attributes cannot see each other; only the compiler sees both.
pub(super) fn given_once(service: &Service) -> TokenStream {
    let options = &service.options;
    let given = [
        (words::NAME, options.name.as_ref().map(|given| given.keyword)),
        (words::INVOKER, options.invoker.as_ref().map(|given| given.keyword)),
        (words::ACTIVATE, options.activate.as_ref().map(|given| given.keyword)),
    ];
    let assertions = given.into_iter().filter_map(|(word, keyword)| Some(assertion(service, word, keyword?)));
    assertions.collect()
}

fn assertion(service: &Service, word: &str, keyword: Span) -> TokenStream {
    let private = private(&service.names);
    let self_type = &service.names.self_type;
    let constant = format_ident!("__MITOGEN_SERVICE_{}", word.to_uppercase());
    let absent = if word == words::ACTIVATE {
        quote_spanned!(keyword=> !<#self_type>::#constant)
    } else {
        quote_spanned!(keyword=> <#self_type>::#constant.is_none())
    };
    let text = text::option_on_both(word);
    quote_spanned! {keyword=>
        const _: () = ::core::assert!({ use #private::StructOptions as _; #absent }, #text);
    }
}
