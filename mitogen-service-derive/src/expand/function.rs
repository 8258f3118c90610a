//! What `#[function]` makes of a function: a static of its name, with the function inside.
//!
//! The static derefs to a pointer to the function, so that calling it stays what it was, and it knows
//! how to write the arguments of a remote call. What a context needs to run it goes to the registry.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{FnArg, Ident, ItemFn, Lifetime, Pat};

use super::{descriptor, dispatch, imports, private_of, quiet, site, stub};
use crate::model::{Argument, Function};
use crate::parse::types;

/// The static, and the entry in the registry inside of it.
///
/// The user's function becomes one of a type that nobody sees, rather than one that stands there by
/// itself: so its name in its own body means the static, which it may pass to a call.
pub(crate) fn of_function(function: &Function) -> TokenStream {
    let Function { krate, outer, item, method } = function;
    let private = private_of(krate);
    let (ident, vis) = (&item.sig.ident, &item.vis);
    let holder = Ident::new("__MitogenFunction", site());
    let (pointer, signature) = (pointer(item), signature(function, &private));
    let (inner, imports) = (inner(item), imports(&private));
    let described = describe(function, &private);
    let (encode, quiet) = (encode(function, &private), quiet());
    let decode = stub::decoder(method, &private);
    let invoke = dispatch::invoke(method, &private, |passed| quote_spanned!(site()=> #holder::#ident(#passed)));
    quote_spanned! {site()=>
        #(#outer)*
        #[allow(non_upper_case_globals)]
        #vis static #ident: #krate::Function<#pointer, #signature> = {
            enum #holder {}
            impl #holder {
                #inner
            }
            #quiet
            const _: () = {
                #imports
                impl #holder {
                    const __METHOD: #private::MethodDescriptor = #described;
                    #encode
                    fn __invoke(__call: &#private::Invocation<'_>) -> #private::Outcome {
                        #invoke
                    }
                }
                const ENTRY: #private::Registered =
                    #private::Registered { method: &#holder::__METHOD, invoke: #holder::__invoke };
                #private::register!(FUNCTIONS: #private::Registered);
            };
            #krate::Function::<#pointer, #signature>::new(
                &#holder::__METHOD,
                #holder::#ident,
                #holder::__encode,
                #decode,
            )
        };
    }
}

/// The user's function, as one of a type.
fn inner(item: &ItemFn) -> ItemFn {
    let mut inner = item.clone();
    inner.vis = syn::Visibility::Inherited;
    inner
}

/// The type of a pointer to the function, with the names that its docs show.
fn pointer(item: &ItemFn) -> TokenStream {
    let parameters = item.sig.inputs.iter().filter_map(|input| {
        let FnArg::Typed(typed) = input else { return None };
        let ty = &typed.ty;
        Some(match &*typed.pat {
            Pat::Ident(pat) => {
                let ident = &pat.ident;
                quote!(#ident: #ty)
            }
            _ => quote!(#ty),
        })
    });
    let output = &item.sig.output;
    quote_spanned!(site()=> fn(#(#parameters),*) #output)
}

/// What a remote call takes and gives.
fn signature(function: &Function, private: &TokenStream) -> TokenStream {
    let lifetime = Lifetime::new("'mitogen", site());
    let args = list(function.method.arguments(), |argument| types::with_lifetime(&argument.ty, &lifetime));
    let answer = &function.method.stub.answer.ty;
    quote_spanned! {site()=>
        dyn for<#lifetime> #private::FunctionSignature<#lifetime, Args = #args, Answer = #answer>
    }
}

/// Nothing, the one itself, or a tuple.
fn list<'a>(
    arguments: impl Iterator<Item = &'a Argument>,
    of_one: impl Fn(&'a Argument) -> TokenStream,
) -> TokenStream {
    let each: Vec<TokenStream> = arguments.map(of_one).collect();
    match &each[..] {
        [one] => quote!(#one),
        _ => quote!((#(#each),*)),
    }
}

/// What the function says of itself.
fn describe(function: &Function, private: &TokenStream) -> TokenStream {
    let name = function.item.sig.ident.unraw().to_string();
    let path = quote_spanned!(site()=> ::core::concat!(::core::module_path!(), "::", #name));
    descriptor::of_method(&function.method, &path, private)
}

/// Writes the arguments of a remote call.
fn encode(function: &Function, private: &TokenStream) -> TokenStream {
    let method = &function.method;
    let variable = |argument: &Argument| dispatch::local(argument, Span::call_site());
    let types = list(method.arguments(), |argument| {
        let ty = &argument.ty;
        quote!(#ty)
    });
    let pattern = list(method.arguments(), |argument| {
        let variable = variable(argument);
        quote!(#variable)
    });
    let written = method.arguments().map(|argument| stub::written(argument, &variable(argument), private));
    quote_spanned! {site()=>
        fn __encode(__args: #types, __request: &mut #private::StubRequest) {
            let #pattern = __args;
            #(#written)*
        }
    }
}
