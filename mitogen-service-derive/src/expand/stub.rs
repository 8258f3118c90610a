//! The stub: what a caller holds, with one method for each that is exposed.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Type};

use super::{at, dispatch, ends, index, placed, private, quiet, site};
use crate::model::{Answer, Argument, Form, Method, Names, Params, Presence, ResultShape, Service, StubMethod};
use crate::print;

/// The function `stub` of the service's type.
pub(super) fn constructor(names: &Names) -> TokenStream {
    let Names { self_type, ident, stub, vis, krate, cfgs, params, .. } = names;
    let Params { declared, passed, bounds, .. } = params;
    let private = private(names);
    let quiet = quiet();
    let docs = format!(" Returns a stub of [`{ident}`] in another context; calls go there.");
    quote_spanned! {site()=>
        #(#cfgs)*
        #quiet
        impl #declared #self_type #bounds {
            #[doc = #docs]
            #vis fn stub(context: &#krate::Context) -> #stub #passed {
                #stub { target: #private::Target::context(context) }
            }
        }
    }
}

/// The stub of a checked service.
pub(super) fn service_stub(service: &Service) -> TokenStream {
    let methods = service.methods.iter().enumerate().map(|(position, method)| {
        let policies: Vec<String> = method.policies.iter().map(|p| format!("`{}`", print::tokens(p))).collect();
        let policy = format!("Policy: {}.", policies.join(" and "));
        let paragraphs: Vec<_> = optional(method).into_iter().chain([policy]).chain(errors(method)).collect();
        let body = body(service, position, method);
        self::method(&service.names, &method.stub, &paragraphs, &body)
    });
    items(&service.names, &methods.collect())
}

/// The stub type around its methods.
pub(super) fn items(names: &Names, methods: &TokenStream) -> TokenStream {
    let Names { ident, stub, api, vis, krate, cfgs, params, .. } = names;
    let Params { declared, passed, bounds, .. } = params;
    let private = private(names);
    let quiet = quiet();
    let name = stub.to_string();
    let docs = format!(" Calls the methods of [`{ident}`] in another context.");
    let faked = format!(" The same stub over a double of [`{ident}`], for tests of its callers.");
    // Where the name is taken, the block is shown by the name of its type.
    let place = at(ident.span());
    let vis_there = placed(&quote!(#vis), place);
    let stub_type = quote_spanned! {place=>
        #vis_there struct #stub #declared #bounds {
            target: #private::Target<dyn #api #passed>,
        }
    };
    quote_spanned! {site()=>
        #(#cfgs)*
        #quiet
        #[doc = #docs]
        #stub_type

        #(#cfgs)*
        #[automatically_derived]
        impl #declared ::core::clone::Clone for #stub #passed #bounds {
            fn clone(&self) -> Self {
                Self { target: ::core::clone::Clone::clone(&self.target) }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #declared ::core::fmt::Debug for #stub #passed #bounds {
            fn fmt(&self, __formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Formatter::write_str(__formatter, #name)
            }
        }

        #(#cfgs)*
        #quiet
        impl #declared #stub #passed #bounds {
            #[doc = #faked]
            #vis fn faked(double: impl #api #passed + 'static) -> Self {
                Self { target: #private::Target::<dyn #api #passed>::double(::std::sync::Arc::new(double)) }
            }

            /// The same stub, calling with the authority of a caller in place of this context's
            /// own. It can only lower the authority.
            #vis fn on_behalf_of(&self, caller: &#krate::Caller) -> Self {
                Self { target: self.target.on_behalf_of(caller) }
            }

            /// The same stub, whose calls are given up after this time. The time travels with them,
            /// and what the methods call inherits it. It begins when the call is made: one that gets
            /// no room in this process meanwhile is not sent.
            #vis fn with_timeout(&self, timeout: ::core::time::Duration) -> Self {
                Self { target: self.target.with_timeout(timeout) }
            }

            /// The same stub, whose calls fail with `Overloaded` where they would wait for room in
            /// this process.
            #vis fn no_wait(&self) -> Self {
                Self { target: self.target.no_wait() }
            }

            #methods
        }
    }
}

/// What the method itself can fail with.
fn errors(method: &Method) -> Option<String> {
    let error = method.error.as_ref()?;
    Some(format!("# Errors\nThe error of the method, `{error}`, arrives as `CallError::Failed`."))
}

/// What callers may leave out who name their arguments; a stub's method takes all of them.
fn optional(method: &Method) -> Option<String> {
    let otherwise = |presence: &Presence| match presence {
        Presence::Required => None,
        Presence::Optional => Some("`None`".to_owned()),
        Presence::Default => Some("the default of its type".to_owned()),
        Presence::DefaultExpr(value) => Some(format!("`{}`", print::tokens(value))),
    };
    let arguments = method.arguments().filter_map(|argument| {
        let otherwise = otherwise(&argument.presence)?;
        Some(format!("`{}` (then it is {otherwise})", argument.wire_name))
    });
    let arguments: Vec<_> = arguments.collect();
    (!arguments.is_empty()).then(|| format!("Callers by name may leave out {}.", arguments.join(", ")))
}

/// One method of a stub.
pub(super) fn method(names: &Names, stub: &StubMethod, more_docs: &[String], body: &TokenStream) -> TokenStream {
    let StubMethod { ident, docs, carried, cfgs, generics, .. } = stub;
    let vis = &names.vis;
    let parameters = parameters(stub);
    let returns = returns(names, stub);
    let docs = if docs.is_empty() {
        let docs = format!(" Calls the method `{ident}` of [`{}`].", names.ident);
        quote!(#[doc = #docs])
    } else {
        quote!(#(#docs)*)
    };
    let more_docs = more_docs.iter().flat_map(|paragraph| [""].into_iter().chain(paragraph.lines()));
    let more_docs = more_docs.map(|line| {
        let line = if line.is_empty() { String::new() } else { format!(" {line}") };
        quote!(#[doc = #line])
    });
    let (generics, _, bounds) = generics.split_for_impl();
    quote_spanned! {site()=>
        #docs
        #(#more_docs)*
        #(#carried)*
        #(#cfgs)*
        #vis fn #ident #generics (&self #parameters) -> #returns #bounds {
            #body
        }
    }
}

/// The parameters after `&self`, each with the comma in front of it.
pub(super) fn parameters(stub: &StubMethod) -> TokenStream {
    let parameters = stub.arguments.iter().map(|argument| {
        let (ident, ty) = (&argument.ident, &argument.ty);
        quote_spanned!(site()=> #ident: #ty)
    });
    quote!(#(, #parameters)*)
}

fn returns(names: &Names, stub: &StubMethod) -> TokenStream {
    let krate = &names.krate;
    let answer = &stub.answer.ty;
    if stub.no_reply {
        quote_spanned!(site()=> ::core::result::Result<(), #krate::CallError>)
    } else {
        quote_spanned!(site()=> #krate::Call<#answer>)
    }
}

/// Writes an argument that is in this variable to the request `__request`.
pub(super) fn written(argument: &Argument, variable: &Ident, private: &TokenStream) -> TokenStream {
    let name = &argument.wire_name;
    let ty = &argument.ty;
    let encode = match argument.form {
        // A type that cannot be an argument is reported here, where the user wrote it.
        Form::Value if argument.is_generic => {
            quote_spanned!(ty.span()=> #private::travels::generic_argument::<#ty, _>(#private::travels::bounds))
        }
        Form::Value => quote_spanned!(ty.span()=> #private::travels::argument::<#ty>()),
        form => dispatch::encoder(form, ty, private),
    };
    let reference = (!argument.form.is_borrowed()).then(|| quote!(&));
    quote_spanned!(site()=> __request.arg(#name, #reference #variable, #encode);)
}

/// The function that reads an answer. A type that cannot be one is reported here, where the user wrote it.
pub(super) fn decoder(method: &Method, private: &TokenStream) -> TokenStream {
    let Answer { ty, form, is_generic } = &method.stub.answer;
    match form {
        Form::PathBuf => quote_spanned!(site()=> #private::path::decode),
        // It may be a `Result` under another name, which only the compiler knows.
        _ if method.result == ResultShape::Plain && matches!(ty, Type::Path(_)) => {
            let (first, last) = ends(ty);
            let path = quote_spanned!(first=> __Named::<#ty>::);
            let answer = match *is_generic {
                true => {
                    let bounds = quote_spanned!(first=> __bounds);
                    quote_spanned!(last=> generic_answer(#bounds))
                }
                false => quote_spanned!(last=> answer),
            };
            quote_spanned! {site()=> {
                use #private::travels::{Named as __Named, NotAResult as _, bounds as __bounds};
                #path #answer
            }}
        }
        _ if *is_generic => {
            quote_spanned!(ty.span()=> #private::travels::generic_answer::<#ty, _>(#private::travels::bounds))
        }
        _ => quote_spanned!(ty.span()=> #private::travels::answer::<#ty>),
    }
}

/// Asks the double, or sends the call.
fn body(service: &Service, position: usize, method: &Method) -> TokenStream {
    let Names { self_type, api, krate, params, .. } = &service.names;
    let private = private(&service.names);
    let ident = &method.stub.ident;
    let idents: Vec<_> = method.arguments().map(|argument| &argument.ident).collect();
    let index = index(&service.methods, position);
    let args: TokenStream = method.arguments().map(|argument| written(argument, &argument.ident, &private)).collect();
    let mutable = (!args.is_empty()).then(|| quote!(mut));
    let passed = &params.passed;
    let double = quote_spanned!(site()=> <_ as #api #passed>::#ident(__double, #(#idents),*));
    let (double, send) = if method.stub.no_reply {
        (double, quote_spanned!(site()=> __request.post()))
    } else {
        let decode = decoder(method, &private);
        (quote_spanned!(site()=> #krate::Call::ready(#double)), quote_spanned!(site()=> __request.call(#decode)))
    };
    quote_spanned! {site()=>
        match self.target.resolve() {
            #private::Resolved::Double(__double) => #double,
            #private::Resolved::Context(__remote) => {
                let #mutable __request =
                    __remote.request(<#self_type as #krate::Service>::DESCRIPTOR, #index);
                #args
                #send
            }
        }
    }
}
