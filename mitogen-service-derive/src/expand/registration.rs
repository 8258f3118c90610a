//! The entry of a service in the registry, which the linker puts together.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Ident;
use syn::spanned::Spanned;

use super::closure::retyped;
use super::{at, call_error, name_of, placed, private, site};
use crate::model::{Activation, Service};
use crate::parse::closure::closure;

/// The entry of a service that is activated by its impl block.
pub(super) fn of_service(service: &Service) -> TokenStream {
    let Some(given) = &service.options.activate else {
        return TokenStream::new();
    };
    let krate = &service.names.krate;
    let krate = quote!(#krate);
    let private = private(&service.names);
    match &service.options.types {
        None => entry(&given.value, &krate, &private, &service.names.self_type, site()),
        Some(types) => {
            // What a type lacks is reported where it is listed.
            let entries = types.value.iter().map(|ty| {
                let place = at(ty.span());
                entry(&given.value, &krate, &placed(&private, place), ty, place)
            });
            quote_spanned!(site()=> #(const _: () = { #entries };)*)
        }
    }
}

/// The entry of a service.
pub(super) fn entry(
    activation: &Activation,
    krate: &TokenStream,
    private: &TokenStream,
    self_type: &impl ToTokens,
    place: Span,
) -> TokenStream {
    let make = match activation {
        Activation::Default => quote_spanned!(place=> #private::make_default::<#self_type>),
        Activation::Function(function) => make(function, krate, private, self_type),
    };
    quote_spanned! {place=>
        const ENTRY: #private::Registration = #private::Registration::new::<#self_type>(
            |__scope| {
                use #private::NotHosted as _;
                #private::Host::<#self_type>::host((#make)(__scope))
            },
        );
        #private::register!(REGISTRY: #private::Registration);
    }
}

/// A function that makes the service and turns what can go wrong into a call error.
///
/// It goes through a trait of its own, because only a method knows what `Self` means.
fn make(function: &syn::Expr, krate: &TokenStream, private: &TokenStream, self_type: &impl ToTokens) -> TokenStream {
    let error = call_error(private, function.span(), false);
    let result = quote_spanned! {site()=>
        ::core::result::Result<Self, #krate::CallError>
    };
    // What is no such function is reported at the expression. Only a direct call tells a closure what it is given.
    let constructed = match closure(function) {
        Some(closure) => {
            let closure = retyped(closure);
            quote_spanned!(at(function.span())=> #private::construct::<Self, _>(__scope, #closure))
        }
        None => {
            let make = Ident::new("make", at(name_of(function)));
            quote_spanned!(site()=> #private::Making::<Self, _>::by(#function).#make(__scope))
        }
    };
    quote_spanned! {site()=> {
        trait Make: ::core::marker::Sized {
            fn make(__scope: &#krate::ServiceScope) -> #result;
        }
        impl Make for #self_type {
            fn make(__scope: &#krate::ServiceScope) -> #result {
                match #constructed {
                    ::core::result::Result::Ok(__service) => ::core::result::Result::Ok(__service),
                    ::core::result::Result::Err(__error) => #error
                }
            }
        }
        <#self_type as Make>::make
    }}
}
