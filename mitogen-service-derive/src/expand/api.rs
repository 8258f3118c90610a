//! The trait that doubles of a service implement.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Ident;

use super::{at, index, placed, private, quiet, site, stub};
use crate::model::{Names, Params, Service, StubMethod};

/// The trait of a checked service.
pub(super) fn service_api(service: &Service) -> TokenStream {
    let private = private(&service.names);
    let Names { self_type, krate, .. } = &service.names;
    let methods = service.methods.iter().enumerate().map(|(position, checked)| {
        let index = index(&service.methods, position);
        let body = quote_spanned! {site()=>
            #private::not_faked(<#self_type as #krate::Service>::DESCRIPTOR, #index)
        };
        method(&service.names, &checked.stub, &body)
    });
    items(&service.names, &methods.collect())
}

/// The trait around its methods.
pub(super) fn items(names: &Names, methods: &TokenStream) -> TokenStream {
    let Names { ident, stub, api, vis, cfgs, params, .. } = names;
    let Params { declared, bounds, .. } = params;
    let quiet = quiet();
    let docs = format!(
        " What [`{ident}`] does, for doubles of it: implement what a test needs, \
         and [`{stub}::faked`] makes a stub of that."
    );
    // Where the name is taken, the block is shown by the name of its type.
    let place = at(ident.span());
    let vis_there = placed(&quote!(#vis), place);
    // To a name of the user's the compiler would propose to add parameters.
    let api = Ident::new(&api.to_string(), place);
    let api_trait = quote_spanned! {place=>
        #vis_there trait #api #declared: ::core::marker::Send + ::core::marker::Sync #bounds {
            #methods
        }
    };
    quote_spanned! {site()=>
        #(#cfgs)*
        #quiet
        #[doc = #docs]
        #api_trait
    }
}

/// One method of the trait, with what it answers unless a double says otherwise.
pub(super) fn method(names: &Names, stub: &StubMethod, body: &TokenStream) -> TokenStream {
    let krate = &names.krate;
    let StubMethod { ident, carried, cfgs, generics, .. } = stub;
    let answer = &stub.answer.ty;
    let parameters = stub::parameters(stub);
    let docs = format!(" What the method `{ident}` answers; `NoSuchMethod` unless implemented.");
    let docs = quote!(#[doc = #docs]);
    quote_spanned! {site()=>
        #docs
        #(#carried)*
        #(#cfgs)*
        fn #ident #generics (&self #parameters) -> ::core::result::Result<#answer, #krate::CallError> {
            #body
        }
    }
}
