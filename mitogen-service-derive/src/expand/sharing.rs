//! What cannot be run by an invoker that executes once for several calls.
//!
//! The type of an invoker is known to the compiler alone; see the runtime's `sharing`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::at;
use crate::model::{Injected, Method, Parameter, Service};

/// Where a method depends on the one call that it is run for, and the function that asks whether it may.
fn personal(method: &Method) -> impl Iterator<Item = (Span, TokenStream)> {
    let parameters = method.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Injected(provided) => match provided.what {
            Injected::Caller => Some((provided.place, quote!(with_caller))),
            Injected::Reply => Some((provided.place, quote!(with_reply))),
            Injected::Router => None,
        },
        Parameter::Argument(_) => None,
    });
    parameters.chain(method.no_reply.map(|place| (place, quote!(without_reply))))
}

/// Whether a method depends on the one call that it is run for.
pub(super) fn is_personal(method: &Method) -> bool {
    personal(method).next().is_some()
}

/// Asks whether a method may be run by an invoker of the manner in the local variable `manner`.
pub(super) fn of_method(method: &Method, private: &TokenStream) -> TokenStream {
    let questions = personal(method).map(|(place, function)| {
        quote_spanned! {at(place)=>
            #private::sharing::#function(manner);
        }
    });
    questions.collect()
}

/// Asks whether the methods without an invoker of their own may be run by an invoker of the manner in the local variable `manner`.
pub(super) fn of_service(service: &Service, private: &TokenStream) -> TokenStream {
    let methods = service.methods.iter().filter(|method| method.invoker.is_none());
    let questions = methods.filter(|method| is_personal(method)).map(|method| {
        let cfgs = &method.stub.cfgs;
        let questions = of_method(method, private);
        quote!(#(#cfgs)* { #questions })
    });
    questions.collect()
}

/// Asks whether an invoker of this manner may stand on a type, from where the methods are not seen.
pub(super) fn of_type(place: Span, private: &TokenStream) -> TokenStream {
    quote_spanned! {at(place)=>
        #private::sharing::on_a_type(manner);
    }
}
