//! What `#[main]` makes of a function: one that enters children first and calls the user's after.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Ident, ItemFn, ReturnType, Type};

use super::site;
use crate::model::Main;

/// The new function, with the user's inside.
pub(crate) fn wrapped(main: Main) -> TokenStream {
    let Main { krate, router, takes_router, needs_block_on, outer, function } = main;
    let private = quote!(#krate::__private);
    let (ident, vis) = (function.sig.ident.clone(), function.vis.clone());
    // A runtime's own `main` macro refuses a parameter only where the name is `main`.
    let user_main = Ident::new("user_main", site());
    let function = renamed(function, &user_main);
    let call = if takes_router {
        quote_spanned!(site()=> #user_main(__router))
    } else {
        quote_spanned!(site()=> #user_main())
    };
    let call = if needs_block_on { quote_spanned!(site()=> #private::block_on(#call)) } else { call };
    let router = match router {
        Some(expr) => quote!(#expr),
        None => quote_spanned!(site()=> #krate::Router::builder()),
    };
    let registration = registration(&private, &outer);
    let must_terminate = must_terminate(&function, &private);
    quote_spanned! {site()=>
        #(#outer)*
        #vis fn #ident() -> ::std::process::ExitCode {
            #function
            #private::run_main(#router, |__router| {
                use #private::report::{AsError as _, AsNothing as _, AsTermination as _};
                let _ = __router;
                #must_terminate
                (&&&#private::report::Report::new(#call)).report()
            })
        }
        #registration
    }
}

/// Asks whether `main` may return what it returns, where that stands.
fn must_terminate(function: &ItemFn, private: &TokenStream) -> Option<TokenStream> {
    let ReturnType::Type(_, ty) = &function.sig.output else { return None };
    // These cannot stand anywhere but in the return type.
    let is_special = matches!(**ty, Type::Never(_) | Type::ImplTrait(_));
    (!is_special).then(|| quote_spanned!(ty.span()=> #private::report::must_terminate::<#ty>();))
}

fn renamed(mut function: ItemFn, name: &Ident) -> ItemFn {
    function.sig.ident = name.clone();
    function.vis = syn::Visibility::Inherited;
    function
}

/// Tells the runtime that there is a `main` of ours, which enters children.
///
/// In a test binary it is not called, so it does not count there.
fn registration(private: &TokenStream, outer: &[Attribute]) -> TokenStream {
    let cfgs = outer.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    quote_spanned! {site()=>
        #(#cfgs)*
        #[cfg(not(test))]
        const _: () = {
            const ENTRY: bool = true;
            #private::register!(MAINS: bool);
        };
    }
}

/// A `main` that contains the user's function, for when there are mistakes in it.
///
/// The compiler then checks its body, but says nothing more about the shape of `main`.
pub(crate) fn put_aside(mut function: ItemFn) -> TokenStream {
    let (ident, vis) = (function.sig.ident.clone(), function.vis.clone());
    function.attrs.clear();
    let function = renamed(function, &Ident::new("user_main", site()));
    quote_spanned! {site()=>
        #vis fn #ident() {
            #[allow(dead_code)]
            #function
        }
    }
}
