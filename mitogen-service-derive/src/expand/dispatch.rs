//! The table of methods: who may call, and how arguments become a call and its result an answer.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Type};

use super::closure::retyped;
use super::{at, boxed_invoker, call_error, policies, private, sharing, site};
use crate::model::{
    Answer, Argument, Form, Injected, Method, Names, Parameter, Presence, Provided, ResultShape, Service,
};
use crate::parse::closure::closure;

/// The entries of `Service::METHODS`.
pub(super) fn table(service: &Service) -> TokenStream {
    let of_service = service.options.invoker.is_some();
    service.methods.iter().map(|method| entry(method, &service.names, of_service)).collect()
}

/// `has_invoker` says that the service names an invoker for its methods.
fn entry(method: &Method, names: &Names, has_invoker: bool) -> TokenStream {
    let private = private(names);
    let krate = &names.krate;
    let cfgs = &method.stub.cfgs;
    let allowed = policies::all(&method.policies, &private);
    let self_type = &names.self_type;
    let ident = &method.stub.ident;
    let invoke = invoke(method, &private, |passed| quote_spanned!(site()=> <#self_type>::#ident(__service, #passed)));
    let invoker = match &method.invoker {
        None => quote_spanned!(site()=> ::core::option::Option::None),
        Some(invoker) => {
            let boxed = boxed_invoker(invoker, &sharing::of_method(method, &private), &private);
            quote_spanned!(site()=> ::core::option::Option::Some(|| #boxed))
        }
    };
    let key = match has_invoker || method.invoker.is_some() {
        true => key(method, &private),
        false => quote_spanned!(site()=> ::core::option::Option::None),
    };
    quote_spanned! {site()=>
        #(#cfgs)*
        #private::Method {
            authorize: |__service: &Self, __caller: &#krate::Caller| -> bool { #allowed },
            invoke: |__service: &Self, __call: &#private::Invocation<'_>| -> #private::Outcome {
                #invoke
            },
            invoker: #invoker,
            key: #key,
        },
    }
}

/// Decodes, calls, encodes.
///
/// `called` makes a call of the parameters that it is given.
pub(super) fn invoke(
    method: &Method,
    private: &TokenStream,
    called: impl FnOnce(TokenStream) -> TokenStream,
) -> TokenStream {
    let arguments = arguments(method, private);
    let passed = method.parameters.iter().map(|parameter| pass(parameter, method, private));
    let called = called(quote!(#(#passed),*));
    let answer = answer(method, private);
    quote_spanned! {site()=>
        #arguments
        __call.enter();
        let __result = #called;
        #answer
    }
}

/// Decodes and checks the arguments, each into a local variable.
fn arguments(method: &Method, private: &TokenStream) -> TokenStream {
    let decoded = method.arguments().enumerate().map(|(i, argument)| decode(i, argument, private));
    let checked = method.arguments().enumerate().map(|(i, argument)| check(i, argument));
    // Without arguments there is nothing to keep, but unknown ones are refused all the same.
    let kept = method.arguments().next().map(|_| quote_spanned!(site()=> let __args =));
    quote_spanned! {site()=>
        #kept __call.args()?;
        #(#decoded)*
        #(#checked)*
    }
}

/// What makes the key of a call, for methods whose calls can be the same.
fn key(method: &Method, private: &TokenStream) -> TokenStream {
    if sharing::is_personal(method) {
        return quote_spanned!(site()=> ::core::option::Option::None);
    }
    let arguments = arguments(method, private);
    let written = method.arguments().enumerate().map(|(index, argument)| {
        let local = local(argument, argument.ident.span());
        let encode = encoder(argument.form, &argument.ty, private);
        let reference = (!argument.form.is_borrowed()).then(|| quote!(&));
        quote_spanned!(site()=> __key.arg(#index, #reference #local, #encode)?;)
    });
    let mutable = method.arguments().next().map(|_| quote!(mut));
    quote_spanned! {site()=>
        ::core::option::Option::Some(|__call: &#private::Invocation<'_>| {
                #arguments
            let #mutable __key = __call.key();
            #(#written)*
            ::core::result::Result::Ok(__key.finish())
        })
    }
}

/// The local variable of an argument, which neither our own names nor the user's can meet.
pub(super) fn local(argument: &Argument, place: Span) -> Ident {
    format_ident!("__arg_{}", argument.ident.unraw(), span = at(place))
}

fn decode(index: usize, argument: &Argument, private: &TokenStream) -> TokenStream {
    let ty = &argument.ty;
    let place = at(ty.span());
    let local = local(argument, argument.ident.span());
    let decode = decoder(argument.form, ty, private);
    let value = match &argument.presence {
        Presence::Required => quote_spanned!(place=> __args.required(#index, #decode)?),
        Presence::Optional => quote_spanned!(place=> __args.optional(#index, #decode)?),
        // A type without a default is reported where the user wrote it.
        Presence::Default => {
            let default = match argument.is_generic {
                true => quote_spanned!(ty.span()=> #private::travels::generic_default::<#ty>()),
                false => quote_spanned!(ty.span()=> #private::travels::default::<#ty>()),
            };
            quote_spanned!(place=> __args.or_else(#index, #decode, #default)?)
        }
        Presence::DefaultExpr(expr) => quote_spanned! {place=>
            __args.or_else(#index, #decode, || #expr)?
        },
    };
    quote_spanned!(site()=> let #local: #ty = #value;)
}

/// The function that reads a value of this type.
///
/// A type that cannot be decoded is reported by the stub.
fn decoder(form: Form, ty: &Type, private: &TokenStream) -> TokenStream {
    match form {
        Form::PathBuf => quote_spanned!(site()=> #private::path::decode),
        Form::Path => quote_spanned!(site()=> #private::path::decode_ref),
        Form::Value | Form::Str | Form::Bytes => {
            quote_spanned!(ty.span()=> #private::travels::Value::<#ty>::decode)
        }
    }
}

/// The function that writes a value of this type.
pub(super) fn encoder(form: Form, ty: &Type, private: &TokenStream) -> TokenStream {
    match form {
        Form::PathBuf | Form::Path => quote_spanned!(site()=> #private::path::encode),
        Form::Bytes => quote_spanned!(site()=> #private::bytes::encode),
        Form::Str => quote_spanned!(site()=> #private::value::encode::<str>),
        Form::Value => quote_spanned!(ty.span()=> #private::travels::Value::<#ty>::encode),
    }
}

fn check(index: usize, argument: &Argument) -> TokenStream {
    let checks = argument.checks.iter().map(|check| {
        let place = at(check.span());
        let local = local(argument, place);
        let value = match (argument.is_option, argument.form.is_borrowed()) {
            (true, _) => quote_spanned!(place=> __value),
            (false, true) => quote!(#local),
            (false, false) => quote_spanned!(place=> &#local),
        };
        let verdict = verdict(check, &value);
        quote_spanned!(place=> __args.check(#index, #verdict)?;)
    });
    if argument.is_option && !argument.checks.is_empty() {
        // There is nothing to check in an argument that was left out.
        let local = local(argument, site());
        return quote_spanned! {site()=>
            if let ::core::option::Option::Some(__value) = &#local { #(#checks)* }
        };
    }
    checks.collect()
}

/// What a check says of a value.
///
/// A function is called directly, so that `&String` becomes `&str` where it takes that. A closure
/// could not tell the type of its parameter then; it goes through a function that can.
fn verdict(check: &Expr, value: &TokenStream) -> TokenStream {
    let place = at(check.span());
    match closure(check) {
        Some(closure) => {
            let closure = retyped(closure);
            quote_spanned!(place=> __apply_check(#value, #closure))
        }
        None => quote_spanned!(place=> (#check)(#value)),
    }
}

fn pass(parameter: &Parameter, method: &Method, private: &TokenStream) -> TokenStream {
    match parameter {
        Parameter::Argument(argument) => {
            let local = local(argument, argument.ident.span());
            quote!(#local)
        }
        Parameter::Injected(provided) => provide(provided, method, private),
    }
}

fn provide(provided: &Provided, method: &Method, private: &TokenStream) -> TokenStream {
    // A type that is not the runtime's is reported where the user wrote it.
    if let Some(ty) = &provided.guessed {
        return quote_spanned!(at(ty.span())=> #private::travels::provided::<#ty>(__call));
    }
    match provided.what {
        Injected::Caller => quote_spanned!(site()=> __call.caller()),
        Injected::Router => quote_spanned!(site()=> __call.router()),
        Injected::Reply => {
            let Answer { ty, form, .. } = &method.stub.answer;
            let encode = encoder(*form, ty, private);
            quote_spanned!(site()=> __call.deferred(#encode))
        }
    }
}

fn answer(method: &Method, private: &TokenStream) -> TokenStream {
    match method.result {
        ResultShape::Plain => reply(method, private, &quote_spanned!(site()=> __result)),
        ResultShape::Fallible => {
            let error = call_error(private, method.error_place, method.error_is_generic);
            let reply = reply(method, private, &quote_spanned!(site()=> __value));
            quote_spanned! {site()=>
                match __result {
                    ::core::result::Result::Ok(__value) => #reply,
                    ::core::result::Result::Err(__error) => #error
                }
            }
        }
        ResultShape::Deferred => quote_spanned! {site()=>
            let () = __result;
            __call.deferred_answer()
        },
        ResultShape::Nothing => quote_spanned! {site()=>
            let () = __result;
            __call.nothing()
        },
    }
}

/// Answers with the value of a local variable.
fn reply(method: &Method, private: &TokenStream, value: &TokenStream) -> TokenStream {
    let Answer { ty, form, .. } = &method.stub.answer;
    let encode = encoder(*form, ty, private);
    if !method.is_uncached {
        return quote_spanned!(site()=> __call.reply(&#value, #encode));
    }
    quote_spanned! {site()=> {
        let #private::Uncached(__value) = #value;
        __call.reply_uncached(&__value, #encode)
    }}
}
