//! The static description of a service.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;

use super::{private, site};
use crate::model::{Argument, Method, Presence, ResultShape, Service};
use crate::print;

/// The `ServiceDescriptor` of a service.
pub(super) fn of_service(service: &Service) -> TokenStream {
    let private = private(&service.names);
    let name = name(service);
    let type_name = service.names.ident.unraw().to_string();
    let docs = &service.docs;
    let methods = service.methods.iter().map(|method| {
        let name = &method.wire_name;
        of_method(method, &quote!(#name), &private)
    });
    quote_spanned! {site()=>
        #private::ServiceDescriptor {
            name: #name,
            type_name: #type_name,
            docs: #docs,
            methods: &[#(#methods),*],
        }
    }
}

/// The name: given here, given on the type, or the path of the type.
fn name(service: &Service) -> TokenStream {
    if let Some(given) = &service.options.name {
        let name = &given.value;
        return quote!(#name);
    }
    let private = private(&service.names);
    let self_type = &service.names.self_type;
    let ident = service.names.ident.unraw().to_string();
    quote_spanned! {site()=> {
        use #private::StructOptions as _;
        match <#self_type>::__MITOGEN_SERVICE_NAME {
            ::core::option::Option::Some(__name) => __name,
            ::core::option::Option::None => {
                ::core::concat!(::core::module_path!(), "::", #ident)
            }
        }
    }}
}

/// The `MethodDescriptor` of a method with this name.
pub(super) fn of_method(method: &Method, name: &TokenStream, private: &TokenStream) -> TokenStream {
    let docs = &method.docs;
    let cfgs = &method.stub.cfgs;
    let args = method.arguments().map(|argument| of_argument(argument, private));
    let policies = method.policies.iter().map(print::tokens);
    let result = print::tokens(&method.stub.answer.ty);
    let no_reply = method.result == ResultShape::Nothing;
    quote_spanned! {site()=>
        #(#cfgs)*
        #private::MethodDescriptor {
            name: #name,
            docs: #docs,
            args: &[#(#args),*],
            policies: &[#(#policies),*],
            result: #result,
            no_reply: #no_reply,
        }
    }
}

fn of_argument(argument: &Argument, private: &TokenStream) -> TokenStream {
    let name = &argument.wire_name;
    let type_name = print::tokens(&argument.ty);
    let required = matches!(argument.presence, Presence::Required);
    quote_spanned! {site()=>
        #private::ArgSpec { name: #name, type_name: #type_name, required: #required }
    }
}
