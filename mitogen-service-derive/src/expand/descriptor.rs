//! The static description of a service.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::{at, options, placed, private, site};
use crate::model::{Argument, Method, Presence, ResultShape, Service};
use crate::print;

/// The `ServiceDescriptor` of a service.
pub(super) fn of_service(service: &Service) -> TokenStream {
    let private = private(&service.names);
    let name = name(service);
    let type_name = service.names.ident.unraw().to_string();
    let docs = &service.docs;
    let invoker = options::invoker_name(service);
    let methods = service.methods.iter().map(|method| {
        let name = &method.wire_name;
        of_method(method, &quote!(#name), &private)
    });
    quote_spanned! {site()=>
        #private::ServiceDescriptor {
            name: #name,
            type_name: #type_name,
            docs: #docs,
            invoker: #invoker,
            methods: &[#(#methods),*],
        }
    }
}

/// The name: given here, given on the type, or the path of the type.
fn name(service: &Service) -> TokenStream {
    let private = private(&service.names);
    if service.options.types.is_some() {
        return quote_spanned!(site()=> <Self as #private::Listed>::NAME);
    }
    if let Some(given) = &service.options.name {
        let name = &given.value;
        return quote!(#name);
    }
    let self_type = &service.names.self_type;
    let path = path(service);
    quote_spanned! {site()=> {
        use #private::StructOptions as _;
        match <#self_type>::__MITOGEN_SERVICE_NAME {
            ::core::option::Option::Some(__name) => __name,
            ::core::option::Option::None => #path,
        }
    }}
}

/// The path of the type.
///
/// Inside a function two types of one module may have one name, and `module_path` knows nothing of functions.
/// There the place in the file tells them apart. Whether the module itself has this very type is seen by
/// a glob import: it hides the alias around it only if it brings the name.
fn path(service: &Service) -> TokenStream {
    let ident = &service.names.ident;
    let name = ident.unraw().to_string();
    let in_module = quote_spanned!(site()=> ::core::concat!(::core::module_path!(), "::", #name));
    let self_type = &service.names.self_type;
    let is_bare = matches!(self_type, Type::Path(path) if path.qself.is_none() && path.path.get_ident().is_some());
    if !is_bare {
        return in_module;
    }
    let private = private(&service.names);
    quote_spanned! {site()=> {
        type __Service = #ident;
        let __is_in_module = {
            use #private::place::Elsewhere as #ident;
            {
                use self::*;
                use #private::place::NotHere as _;
                #private::place::Here::<__Service, #ident>::IS_HERE
            }
        };
        if __is_in_module {
            #in_module
        } else {
            ::core::concat!(
                ::core::module_path!(), "::{", ::core::line!(), ":", ::core::column!(), "}::", #name,
            )
        }
    }}
}

/// The `MethodDescriptor` of a method with this name.
pub(super) fn of_method(method: &Method, name: &TokenStream, private: &TokenStream) -> TokenStream {
    let docs = &method.docs;
    let cfgs = &method.stub.cfgs;
    let args = method.arguments().map(|argument| of_argument(argument, private));
    let policies = method.policies.iter().map(print::tokens);
    let invoker = option(method.invoker.as_ref().map(options::printed));
    let result = print::tokens(&method.stub.answer.ty);
    let no_reply = method.result == ResultShape::Nothing;
    quote_spanned! {site()=>
        #(#cfgs)*
        #private::MethodDescriptor {
            name: #name,
            docs: #docs,
            args: &[#(#args),*],
            policies: &[#(#policies),*],
            invoker: #invoker,
            result: #result,
            no_reply: #no_reply,
        }
    }
}

fn of_argument(argument: &Argument, private: &TokenStream) -> TokenStream {
    let name = &argument.wire_name;
    let type_name = print::tokens(&argument.ty);
    let (required, default) = match &argument.presence {
        Presence::Required => (true, None),
        Presence::Optional => (false, Some("None".to_owned())),
        Presence::Default => (false, Some("Default::default()".to_owned())),
        Presence::DefaultExpr(value) => (false, Some(print::tokens(value))),
    };
    let default = option(default);
    quote_spanned! {site()=>
        #private::ArgSpec { name: #name, type_name: #type_name, required: #required, default: #default }
    }
}

fn option(text: Option<String>) -> TokenStream {
    match text {
        Some(text) => quote_spanned!(site()=> ::core::option::Option::Some(#text)),
        None => quote_spanned!(site()=> ::core::option::Option::None),
    }
}

/// The names of a generic service for each of the types that it is there for.
pub(super) fn listed(service: &Service) -> TokenStream {
    let private = private(&service.names);
    let krate = &service.names.krate;
    let types = service.options.types.iter().flat_map(|types| &types.value);
    let listed = types.map(|ty| {
        let name = match &service.options.name {
            Some(given) => {
                let name = &given.value;
                let parameters = print::tokens(&parameters(ty));
                quote_spanned!(site()=> ::core::concat!(#name, #parameters))
            }
            None => {
                let path = format!("::{}", print::tokens(ty));
                quote_spanned!(site()=> ::core::concat!(::core::module_path!(), #path))
            }
        };
        // A type that is no service by the bounds of the block is reported where it is listed, by its entry in
        // the registry if it has one.
        let place = at(ty.span());
        let (private, krate) = (placed(&private, place), placed(&quote!(#krate), place));
        let serves = service.options.activate.is_none().then(
            || quote_spanned!(place=> const _: &#private::ServiceDescriptor = <#ty as #krate::Service>::DESCRIPTOR;),
        );
        quote_spanned! {place=>
            impl #private::Listed for #ty {
                const NAME: &'static str = #name;
            }
            #serves
        }
    });
    listed.collect()
}

/// What stands in place of the parameters in a type: `<u8>`.
fn parameters(ty: &Type) -> TokenStream {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|last| last.arguments.to_token_stream()).unwrap_or_default(),
        _ => TokenStream::new(),
    }
}
