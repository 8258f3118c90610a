//! What the options of the impl block and of the type come to.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::{at, boxed_invoker, ends, private, sharing, site};
use crate::errors::text;
use crate::model::{Invoker, Names, Options, Params, Service};
use crate::{print, words};

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

/// The option `invoker` as it is written, here or on the type.
pub(super) fn invoker_name(service: &Service) -> TokenStream {
    if let Some(given) = &service.options.invoker {
        let name = printed(&given.value);
        return quote_spanned!(site()=> #name);
    }
    let private = private(&service.names);
    let self_type = &service.names.self_type;
    quote_spanned! {site()=> {
        use #private::StructOptions as _;
        match <#self_type>::__MITOGEN_SERVICE_INVOKER_NAME {
            ::core::option::Option::Some(__name) => __name,
            ::core::option::Option::None => "ConcurrentInvoker",
        }
    }}
}

/// An invoker as it is written.
pub(super) fn printed(invoker: &Invoker) -> String {
    match invoker {
        Invoker::Type(path) => print::tokens(path),
        Invoker::Expr(expr) => print::tokens(expr),
    }
}

/// Asserts that the type does not carry the options of the impl block as well.
///
/// The two attributes cannot see each other; only the compiler sees both.
pub(super) fn given_once(service: &Service) -> TokenStream {
    if service.names.params.is_generic() && service.options.types.is_none() {
        return given_once_if_generic(service);
    }
    assertions(service).map(|assertion| quote_spanned!(site()=> const _: () = #assertion;)).collect()
}

/// The same where no constant can name the type: a trait with a telling name, which both of them implement.
fn given_once_if_generic(service: &Service) -> TokenStream {
    let Names { self_type, params, .. } = &service.names;
    let Params { declared, bounds, .. } = params;
    let private = private(&service.names);
    let Options { name, invoker, .. } = &service.options;
    let name = name.as_ref().map(|given| (given.keyword, quote!(NameIsGivenOnce)));
    let invoker = invoker.as_ref().map(|given| (given.keyword, quote!(InvokerIsGivenOnce)));
    let marks = name.into_iter().chain(invoker).map(|(keyword, mark)| {
        let place = at(keyword);
        quote_spanned!(place=> impl #declared #private::#mark for #self_type #bounds {})
    });
    marks.collect()
}

fn assertions(service: &Service) -> impl Iterator<Item = TokenStream> {
    let options = &service.options;
    let name = options.name.as_ref().map(|given| given.keyword);
    // Several types cannot have the one name of their struct.
    let types = options.types.as_ref().map(|given| given.keyword);
    let invoker = options.invoker.as_ref().map(|given| given.keyword);
    let activate = options.activate.as_ref().map(|given| given.keyword);
    let name_twice = text::option_on_both(words::NAME);
    [
        (words::NAME, name, name_twice),
        (words::NAME, types.filter(|_| name.is_none()), text::NAME_WITH_TYPES.to_owned()),
        (words::INVOKER, invoker, text::option_on_both(words::INVOKER)),
        (words::ACTIVATE, activate, text::option_on_both(words::ACTIVATE)),
    ]
    .into_iter()
    .filter_map(|(word, keyword, text)| Some(assertion(service, word, keyword?, &text)))
}

fn assertion(service: &Service, word: &str, keyword: Span, text: &str) -> TokenStream {
    let private = private(&service.names);
    // Of a generic service one of its types will do; each has the same options.
    let listed = service.options.types.iter().flat_map(|types| &types.value).next();
    let self_type = listed.unwrap_or(&service.names.self_type);
    // What is wrong with the type has been said elsewhere, and is not said again of the same place.
    let (first, last) = ends(self_type);
    let constant = format_ident!("__MITOGEN_SERVICE_{}", word.to_uppercase(), span = last);
    let open = quote_spanned!(first=> <);
    let constant = quote_spanned!(last=> #open #self_type>::#constant);
    let absent = if word == words::ACTIVATE {
        quote_spanned!(keyword=> !#constant)
    } else {
        quote_spanned!(keyword=> #constant.is_none())
    };
    quote_spanned!(keyword=> ::core::assert!({ use #private::StructOptions as _; #absent }, #text))
}
