//! What `#[service]` adds to a struct or enum: constants that the impl block looks for.
//!
//! The two attributes cannot see each other. The impl block reads the constants of a trait that
//! every type has; those of the type itself, made here, come before them.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::options::printed;
use super::{at, boxed_invoker, imports, quiet, registration, sharing, site};
use crate::model::{Options, ServiceType};

/// The constants, and the entry in the registry.
pub(crate) fn constants(service: &ServiceType) -> TokenStream {
    let ServiceType { ident, generics, cfgs, options } = service;
    let (impl_generics, type_generics, bounds) = generics.split_for_impl();
    let quiet = quiet();
    let constants = of_options(options);
    let marks = given_once(service);
    let registration = options.activate.as_ref().map(|given| {
        // The path of the runtime crate is an option of the impl block.
        let krate = quote!(::mitogen_service);
        let private = quote!(#krate::__private);
        let imports = imports(&private);
        let entry = registration::entry(&given.value, &krate, &private, ident, site());
        quote_spanned!(site()=> #imports #entry)
    });
    quote_spanned! {site()=>
        #(#cfgs)*
        #quiet
        const _: () = {
            impl #impl_generics #ident #type_generics #bounds {
                #constants
            }
            #marks
            #registration
        };
    }
}

/// Says of a generic type that these options stand here, so that they cannot stand on the impl block as well.
fn given_once(service: &ServiceType) -> TokenStream {
    let ServiceType { ident, generics, options, .. } = service;
    if generics.params.is_empty() {
        return TokenStream::new();
    }
    let (impl_generics, type_generics, bounds) = generics.split_for_impl();
    let name = options.name.as_ref().map(|given| (given.keyword, quote!(NameIsGivenOnce)));
    let invoker = options.invoker.as_ref().map(|given| (given.keyword, quote!(InvokerIsGivenOnce)));
    let marks = name.into_iter().chain(invoker).map(|(keyword, mark)| {
        quote_spanned! {at(keyword)=>
            impl #impl_generics ::mitogen_service::__private::#mark for #ident #type_generics #bounds {}
        }
    });
    marks.collect()
}

fn of_options(options: &Options) -> TokenStream {
    let name = options.name.as_ref().map(|given| {
        let name = &given.value;
        quote_spanned! {site()=>
            #[doc(hidden)]
            pub const __MITOGEN_SERVICE_NAME: ::core::option::Option<&'static str> =
                ::core::option::Option::Some(#name);
        }
    });
    let invoker = options.invoker.as_ref().map(|given| {
        let private = quote!(::mitogen_service::__private);
        let printed = printed(&given.value);
        let boxed = boxed_invoker(&given.value, &sharing::of_type(given.keyword, &private), &private);
        quote_spanned! {site()=>
            #[doc(hidden)]
            pub const __MITOGEN_SERVICE_INVOKER: ::core::option::Option<
                fn() -> ::std::boxed::Box<dyn ::mitogen_service::Invoker>,
            > = ::core::option::Option::Some(|| #boxed);
            #[doc(hidden)]
            pub const __MITOGEN_SERVICE_INVOKER_NAME: ::core::option::Option<&'static str> =
                ::core::option::Option::Some(#printed);
        }
    });
    let activate = options.activate.as_ref().map(|_| {
        quote_spanned! {site()=>
            #[doc(hidden)]
            pub const __MITOGEN_SERVICE_ACTIVATE: bool = true;
        }
    });
    quote!(#name #invoker #activate)
}
