//! The macros as functions of tokens, which tests can call.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{ImplItemFn, Item, ItemEnum, ItemFn, ItemImpl, ItemStruct};

use crate::errors::{Errors, text};
use crate::{expand, parse};

/// `#[service]`
pub(crate) fn service(options: TokenStream, item: TokenStream) -> TokenStream {
    match syn::parse2(item.clone()) {
        Ok(Item::Impl(block)) => service_block(options, block),
        Ok(Item::Struct(ItemStruct { attrs, ident, generics, .. }))
        | Ok(Item::Enum(ItemEnum { attrs, ident, generics, .. })) => {
            let errors = Errors::default();
            let read = parse::service_type::read(options, &attrs, &ident, &generics, &errors);
            let constants = errors.is_empty().then(|| expand::service_type::constants(&read));
            let errors = errors.into_tokens();
            quote!(#item #constants #errors)
        }
        Ok(_) => {
            let error = syn::Error::new(Span::call_site(), text::WRONG_ITEM);
            with_error(parse::unread::without_our_attributes(item), error)
        }
        Err(_) if parse::unread::is_like(&item, "impl") => unread(options, item),
        Err(error) => with_error(parse::unread::without_our_attributes(item), error),
    }
}

/// `#[service]` on what the parser does not understand.
fn unread(options: TokenStream, item: TokenStream) -> TokenStream {
    let error = parse::unread::unless_reported(text::UNREAD_SERVICE);
    match parse::unread::block(item.clone()) {
        Some(unread) => {
            let made = service_block(options, unread.block);
            let error = unread.is_less.then_some(error);
            quote!(#made #error)
        }
        None => {
            let item = parse::unread::without_our_attributes(item);
            quote!(#item #error)
        }
    }
}

fn service_block(options: TokenStream, block: ItemImpl) -> TokenStream {
    let errors = Errors::default();
    let block = parse::block::read(options, block, &errors);
    let made = match &block.service {
        Ok(service) => expand::service(service),
        Err(Some(sketch)) => expand::fallback::of_sketch(sketch),
        Err(None) => TokenStream::new(),
    };
    let (item, errors) = (expand::given_back(&block.item), errors.into_tokens());
    quote!(#item #made #errors)
}

/// `#[main]`
pub(crate) fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    let Some(function) = read_function(&item) else {
        return no_function(item, text::MAIN_ON_A_FUNCTION);
    };
    let errors = Errors::default();
    let read = parse::main_function::read(options, function.clone(), &errors);
    if errors.is_empty() {
        return expand::main_function::wrapped(read);
    }
    let put_aside = expand::main_function::put_aside(function);
    let errors = errors.into_tokens();
    quote!(#put_aside #errors)
}

/// `#[function]`
pub(crate) fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    let Some(mut item) = read_function(&item) else {
        return no_function(item, text::NOT_A_FUNCTION);
    };
    let errors = Errors::default();
    match parse::function::read(options, &mut item, &errors) {
        Some(function) => expand::function::of_function(&function),
        None => {
            let errors = errors.into_tokens();
            quote!(#item #errors)
        }
    }
}

fn read_function(item: &TokenStream) -> Option<ItemFn> {
    syn::parse2(item.clone()).ok().or_else(|| parse::unread::function(item.clone()))
}

fn no_function(item: TokenStream, text: &str) -> TokenStream {
    if !parse::unread::is_like(&item, "fn") {
        return with_error(item, syn::Error::new(Span::call_site(), text));
    }
    let error = parse::unread::unless_reported(text);
    quote!(#item #error)
}

/// `#[expose]` and the like, where no `#[service]` took them away.
pub(crate) fn outside_service(attribute: &str, item: TokenStream) -> TokenStream {
    let error = syn::Error::new(Span::call_site(), text::outside_service(attribute));
    // The others of our attributes on the method would only say the same again.
    let item = match syn::parse2::<ImplItemFn>(item.clone()) {
        Ok(method) => parse::without_our_attributes(method).into_token_stream(),
        Err(_) => item,
    };
    with_error(item, error)
}

/// `#[arg]` where something else than a parameter stands.
pub(crate) fn arg_outside_of_a_parameter(item: TokenStream) -> TokenStream {
    with_error(item, syn::Error::new(Span::call_site(), text::ARG_ON_A_METHOD))
}

fn with_error(item: TokenStream, error: syn::Error) -> TokenStream {
    let error = error.to_compile_error();
    quote!(#item #error)
}
