//! What is made of a block with mistakes: the names and signatures, with nothing behind them.
//!
//! Code that uses the stub then still compiles, and the mistake shows up once, where it is.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::GenericParam;

use super::{api, private, quiet, site, stub};
use crate::model::{Names, Params, Sketch, StubMethod};
use crate::print;

/// The stub, its trait and an empty service.
pub(crate) fn of_sketch(sketch: &Sketch) -> TokenStream {
    let names = &sketch.names;
    if sketch.only_methods {
        return more_methods(sketch);
    }
    let constructor = (!sketch.stub_is_taken).then(|| stub::constructor(names));
    let failed = failed(names);
    let methods = sketch.stubs.iter().map(|method| stub::method(names, method, &[], &failed));
    let stub = stub::items(names, &methods.collect());
    let methods = sketch
        .stubs
        .iter()
        .filter(|method| fits_a_trait_object(method))
        .map(|method| api::method(names, method, &failed));
    let api = api::items(names, &methods.collect());
    // One that borrows cannot even look like a service.
    let service = (!names.params.borrow).then(|| empty_service(sketch));
    quote_spanned! {site()=>
        #constructor
        #stub
        #api
        #service
    }
}

/// The methods alone, for the stub that another block makes.
fn more_methods(sketch: &Sketch) -> TokenStream {
    let Names { self_type, stub, cfgs, params, .. } = &sketch.names;
    let Params { declared, passed, bounds, .. } = params;
    let failed = failed(&sketch.names);
    let mentioned = &sketch.mentioned;
    let methods = sketch.stubs.iter().map(|method| stub::method(&sketch.names, method, &[], &failed));
    let quiet = quiet();
    quote_spanned! {site()=>
        #(#cfgs)*
        #quiet
        const _: () = {
            impl #declared #stub #passed #bounds {
                #(#methods)*
            }
            trait Mentions {
                fn mention();
            }
            impl #declared Mentions for #self_type #bounds {
                fn mention() {
                    #(let _ = &#mentioned;)*
                }
            }
        };
    }
}

/// A body of any type.
fn failed(names: &Names) -> TokenStream {
    let private = private(names);
    quote_spanned!(site()=> #private::macro_failed())
}

/// Whether a method of the trait can be called on a double whose type is not known.
fn fits_a_trait_object(method: &StubMethod) -> bool {
    let types = method.generics.params.iter().any(|p| !matches!(p, GenericParam::Lifetime(_)));
    let hidden = method
        .arguments
        .iter()
        .any(|argument| print::tokens(&argument.ty).split(' ').any(|word| word.ends_with("impl")));
    !types && !hidden
}

/// So that the type can still be handed to a pool.
fn empty_service(sketch: &Sketch) -> TokenStream {
    let Names { self_type, ident, krate, cfgs, params, .. } = &sketch.names;
    let Params { declared, bounds, .. } = params;
    let mentioned = &sketch.mentioned;
    let private = private(&sketch.names);
    let quiet = quiet();
    let name = ident.to_string();
    quote_spanned! {site()=>
        #(#cfgs)*
        #quiet
        const _: () = {
            impl #declared #krate::Service for #self_type #bounds {
                const DESCRIPTOR: &'static #private::ServiceDescriptor =
                    &#private::ServiceDescriptor {
                        name: #name,
                        type_name: #name,
                        docs: "",
                        invoker: "",
                        methods: &[],
                    };
                const METHODS: &'static [#private::Method<Self>] = &[];
                const HOSTING: #private::Hosting<Self> = #private::unhosted();
                fn invoker() -> ::std::boxed::Box<dyn #krate::Invoker> {
                    #(let _ = &#mentioned;)*
                    #private::macro_failed()
                }
            }
        };
    }
}
