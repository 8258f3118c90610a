//! From the model to tokens. Only a checked model gets here; [`fallback`] is for the others.
//!
//! What is generated is thin: a table of methods, one small closure per method to check who calls
//! and one to decode, call and encode. Everything that is the same for every service is a function
//! of the runtime's `__private` module.
//!
//! All paths are absolute and all local names are hygienic (`mixed_site`), so that nothing in the
//! user's module is mistaken for something of ours, nor the other way round. They begin with two
//! underscores all the same: hygiene does not keep a local variable from meeting a static, and
//! `#[function]` makes statics with names that a user would give to a function.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ItemImpl, Path};

use crate::model::{Invoker, Method, Names, Params, Service};

mod api;
mod closure;
mod descriptor;
mod dispatch;
pub(crate) mod fallback;
pub(crate) mod function;
mod hooks;
pub(crate) mod main_function;
mod options;
mod policies;
mod registration;
pub(crate) mod service_type;
mod sharing;
mod stub;

/// The span of everything that has no better one.
fn site() -> Span {
    Span::mixed_site()
}

/// A place in the user's code, for what the compiler may find wrong there; names stay ours.
fn at(place: Span) -> Span {
    site().located_at(place)
}

/// The first and the last token of a piece of code. The compiler joins the ends of what it complains
/// about, which a macro cannot.
fn ends(piece: &impl ToTokens) -> (Span, Span) {
    let mut trees = piece.to_token_stream().into_iter();
    let first = trees.next().map_or_else(Span::call_site, |tree| tree.span());
    (first, trees.last().map_or(first, |tree| tree.span()))
}

/// The same tokens in another place.
fn placed(tokens: &TokenStream, place: Span) -> TokenStream {
    let there = tokens.clone().into_iter().map(|mut tree| {
        tree.set_span(tree.span().located_at(place));
        tree
    });
    there.collect()
}

/// Where an expression says what it is: the end of a path.
fn name_of(expr: &Expr) -> Span {
    match expr {
        Expr::Path(path) => path.path.segments.last().map_or_else(|| expr.span(), |last| last.ident.span()),
        _ => expr.span(),
    }
}

/// All that is made for a service, beside the user's block itself.
pub(crate) fn service(service: &Service) -> TokenStream {
    let names = &service.names;
    let cfgs = &names.cfgs;
    let constructor = stub::constructor(names);
    let stub = stub::service_stub(service);
    let api = api::service_api(service);
    let implementation = implementation(service);
    let assertions = options::given_once(service);
    let listed = descriptor::listed(service);
    let registration = registration::of_service(service);
    let imports = imports(&private(names));
    let quiet = quiet();
    quote_spanned! {site()=>
        #constructor
        #stub
        #api
        #(#cfgs)*
        #quiet
        const _: () = {
            #imports
            #implementation
            #listed
            #assertions
            #registration
        };
    }
}

/// The user's block.
///
/// Where a type is not found inside of another one, the compiler proposes a parameter for the block, and does not for
/// what is made of it; to the compiler these are two mistakes. It proposes none where the list of parameters is ours.
pub(crate) fn given_back(item: &ItemImpl) -> TokenStream {
    let tokens = item.to_token_stream();
    if !item.generics.params.is_empty() {
        return tokens;
    }
    let list = quote_spanned!(at(item.impl_token.span)=> <>);
    let mut list = Some(list);
    let with_list = tokens.into_iter().flat_map(|tree| {
        let is_impl = matches!(&tree, TokenTree::Ident(word) if word == "impl");
        let list = is_impl.then(|| list.take()).flatten().unwrap_or_default();
        std::iter::once(tree).chain(list)
    });
    with_list.collect()
}

/// `impl Service for ..`
fn implementation(service: &Service) -> TokenStream {
    let Names { self_type, krate, params, .. } = &service.names;
    let Params { declared, bounds, .. } = params;
    let private = private(&service.names);
    let descriptor = descriptor::of_service(service);
    let methods = dispatch::table(service);
    let invoker = options::invoker(service);
    let hooks = hooks::of_service(service);
    let hosting = hosting(service);
    quote_spanned! {site()=>
        #[automatically_derived]
        impl #declared #krate::Service for #self_type #bounds {
            const DESCRIPTOR: &'static #private::ServiceDescriptor = &#descriptor;
            const METHODS: &'static [#private::Method<Self>] = &[#methods];
            const HOSTING: #private::Hosting<Self> = #hosting;
            #hooks
            fn invoker() -> ::std::boxed::Box<dyn #krate::Invoker> {
                #invoker
            }
        }
    }
}

/// A type that threads cannot share is reported here, where the user wrote it.
fn hosting(service: &Service) -> TokenStream {
    let private = private(&service.names);
    let self_type = &service.names.self_type;
    quote_spanned!(self_type.span()=> #private::hosting::<#self_type>())
}

/// The runtime's module for generated code.
fn private(names: &Names) -> TokenStream {
    private_of(&names.krate)
}

/// The same of the runtime under this path.
fn private_of(krate: &Path) -> TokenStream {
    quote!(#krate::__private)
}

/// Keeps the lints of the user's crate away from code that the user did not write.
fn quiet() -> TokenStream {
    quote_spanned! {site()=>
        #[allow(dead_code, deprecated, nonstandard_style, unused_imports, unused_variables, private_bounds, private_interfaces, unreachable_pub, clippy::all, clippy::pedantic)]
    }
}

/// The place of a method in the table, which leaves out what is not configured.
fn index(methods: &[Method], position: usize) -> TokenStream {
    let before = &methods[..position];
    if before.iter().all(|method| method.stub.cfgs.is_empty()) {
        return quote!(#position);
    }
    let entries = before.iter().map(|method| {
        let cfgs = &method.stub.cfgs;
        quote!(#(#cfgs)* ())
    });
    quote_spanned!(site()=> <[()]>::len(&[#(#entries),*]))
}

/// An expression that makes an invoker. `checks` are told its manner of running calls.
fn boxed_invoker(invoker: &Invoker, checks: &TokenStream, private: &TokenStream) -> TokenStream {
    let place = match invoker {
        Invoker::Type(path) => path.span(),
        Invoker::Expr(expr) => expr.span(),
    };
    let made = match invoker {
        Invoker::Type(path) => quote_spanned! {site()=>
            <#path as ::core::default::Default>::default()
        },
        Invoker::Expr(expr) => quote!(#expr),
    };
    let place = at(place);
    if checks.is_empty() {
        return quote_spanned!(place=> ::std::boxed::Box::new(#made));
    }
    quote_spanned! {place=> {
        let invoker = #made;
        {
            use #private::sharing::ByDefault as _;
            let manner = #private::sharing::Probe(&invoker).manner();
            #checks
        }
        ::std::boxed::Box::new(invoker)
    }}
}

/// The functions that are called in places of the user's, and the traits that generated code calls by: what stands in
/// for types that cannot travel, so that these are reported once, and the ways from an error to a call error.
fn imports(private: &TokenStream) -> TokenStream {
    quote_spanned! {site()=>
        use #private::{
            allows as __allows, any_allows as __any_allows, apply_check as __apply_check, member as __member,
            NoPolicy as _, NotMaking as _,
        };
        use #private::travels::Unable as _;
        use #private::failure::{
            ByBoxed as _, ByCallError as _, ByDisplay as _, ByNothing as _, ByRuntimeError as _, BySource as _,
            ByTyped as _, ByTypedSource as _,
        };
    }
}

/// A call error made from the local variable `__error`, whatever its type can do.
///
/// A type that has no text is reported at `place`. The traits are tried from the most to the least
/// telling one: each `&` is one of them.
///
/// Of a generic type the compiler knows no more than its bounds say; whether it is a call error shows
/// when it is there.
fn call_error(private: &TokenStream, place: Span, is_generic: bool) -> TokenStream {
    let must_display = match is_generic {
        true => quote_spanned!(at(place)=> generic_must_display),
        false => quote_spanned!(at(place)=> must_display),
    };
    let told = quote_spanned! {at(place)=> {
        #private::failure::#must_display(&__error);
        ::core::result::Result::Err(
            (&&&&&&&&#private::failure::Failure(&__error)).to_call_error(),
        )
    }};
    if !is_generic {
        return told;
    }
    quote_spanned! {at(place)=>
        match #private::failure::as_call_error(&__error) {
            ::core::option::Option::Some(__error) => ::core::result::Result::Err(__error),
            ::core::option::Option::None => #told,
        }
    }
}
