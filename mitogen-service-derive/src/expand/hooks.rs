//! The methods that run at moments of a service's life.

use proc_macro2::TokenStream;
use quote::quote_spanned;

use super::{at, call_error, policies, private, site};
use crate::model::{Hook, Hooks, Service};

/// The constant of the service, if it has such methods.
pub(super) fn of_service(service: &Service) -> Option<TokenStream> {
    if service.hooks.is_empty() {
        return None;
    }
    let Hooks { on_start, on_message, on_shutdown } = &service.hooks;
    let private = private(&service.names);
    let krate = &service.names.krate;
    let self_type = &service.names.self_type;
    let start = on_start.iter().map(|hook| {
        let Hook { ident, cfgs, takes, .. } = hook;
        // A parameter of another type is reported where the user wrote it.
        let scope = takes.map(|place| quote_spanned!(at(place)=> __scope));
        let called = quote_spanned!(site()=> <#self_type>::#ident(__service, #scope));
        let body = outcome(hook, &called, &private);
        quote_spanned! {site()=>
            #(#cfgs)*
            on_start: ::core::option::Option::Some(|__service: &Self, __scope: &#krate::ServiceScope| #body),
        }
    });
    let message = on_message.iter().map(|Hook { ident, cfgs, policies, takes, .. }| {
        let allowed = policies::all(policies, &private);
        let event = takes.map(|place| quote_spanned!(at(place)=> __event));
        quote_spanned! {site()=>
            #(#cfgs)*
            on_message: ::core::option::Option::Some((
                |__service: &Self, __caller: &#krate::Caller| -> bool { #allowed },
                |__service: &Self, __event: #krate::Event| { <#self_type>::#ident(__service, #event); },
            )),
        }
    });
    let shutdown = on_shutdown.iter().map(|Hook { ident, cfgs, .. }| {
        quote_spanned! {site()=>
            #(#cfgs)*
            on_shutdown: ::core::option::Option::Some(|__service: &Self| { <#self_type>::#ident(__service); }),
        }
    });
    Some(quote_spanned! {site()=>
        const HOOKS: #private::Hooks<Self> = #private::Hooks { #(#start)* #(#message)* #(#shutdown)* ..#private::Hooks::NONE };
    })
}

fn outcome(hook: &Hook, called: &TokenStream, private: &TokenStream) -> TokenStream {
    if !hook.is_fallible {
        return quote_spanned!(site()=> { #called; ::core::result::Result::Ok(()) });
    }
    let error = call_error(private, hook.error_place, false);
    quote_spanned! {site()=>
        match #called {
            ::core::result::Result::Ok(_) => ::core::result::Result::Ok(()),
            ::core::result::Result::Err(__error) => #error
        }
    }
}
