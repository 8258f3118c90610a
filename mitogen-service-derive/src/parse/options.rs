//! The options of `#[service(..)]`, on an impl block and on a type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprClosure, ExprPath, LitStr, Path, Token, Type, Visibility};

use super::closure::closure;
use super::keyed::{Keyword, Known, each_option};
use crate::errors::{Errors, text};
use crate::model::{Activation, Given, Invoker, Options};
use crate::words;

/// What an impl block's attribute says.
pub(super) struct ImplOptions {
    pub(super) options: Options,
    pub(super) vis: Visibility,
    pub(super) krate: Path,
}

/// Reads the options of an impl block.
pub(super) fn of_impl(tokens: TokenStream, errors: &Errors) -> ImplOptions {
    let known = Known::new(words::SERVICE, words::ON_IMPL);
    let mut read = ImplOptions { options: Options::default(), vis: syn::parse_quote!(pub), krate: usual_crate() };
    each_option(tokens, &known, errors, |keyword, input| {
        match keyword.word.as_str() {
            words::VIS => read.vis = keyword.value(input, "pub(crate)", visibility)?,
            words::CRATE => read.krate = crate_path(keyword, input)?,
            words::TYPES => {
                let value = keyword.value(input, "[YourService<SomeType>]", listed)?;
                read.options.types = Some(Given { value, keyword: keyword.span });
            }
            _ => shared(keyword, input, &mut read.options)?,
        }
        Ok(())
    });
    read
}

/// Reads the options of a struct or enum.
pub(super) fn of_type(tokens: TokenStream, errors: &Errors) -> Options {
    let known = Known { of_impl: words::ONLY_ON_IMPL, ..Known::new(words::SERVICE, words::ON_TYPE) };
    let mut read = Options::default();
    each_option(tokens, &known, errors, |keyword, input| shared(keyword, input, &mut read));
    read
}

fn shared(keyword: &Keyword, input: ParseStream<'_>, options: &mut Options) -> syn::Result<()> {
    match keyword.word.as_str() {
        words::NAME => {
            let value = keyword.value(input, "\"some.name\"", name)?;
            options.name = Some(Given { value, keyword: keyword.span });
        }
        words::INVOKER => {
            let value = invoker(keyword, input)?;
            options.invoker = Some(Given { value, keyword: keyword.span });
        }
        _ => {
            let value = activation(keyword, input)?;
            options.activate = Some(Given { value, keyword: keyword.span });
        }
    }
    Ok(())
}

fn name(input: ParseStream<'_>) -> syn::Result<LitStr> {
    if !input.peek(LitStr) {
        return Err(input.error(text::NAME_IS_TEXT));
    }
    let name: LitStr = input.parse()?;
    if name.value().is_empty() {
        return Err(syn::Error::new(name.span(), text::NAME_IS_EMPTY));
    }
    Ok(name)
}

/// Reads the types of a generic service.
fn listed(input: ParseStream<'_>) -> syn::Result<Vec<Type>> {
    if !input.peek(syn::token::Bracket) {
        return Err(input.error(text::TYPES_IN_BRACKETS));
    }
    let list;
    let brackets = syn::bracketed!(list in input);
    let types: Punctuated<Type, Token![,]> = Punctuated::parse_terminated(&list)?;
    if types.is_empty() {
        return Err(syn::Error::new(brackets.span.join(), text::TYPES_IN_BRACKETS));
    }
    Ok(types.into_iter().collect())
}

fn activation(keyword: &Keyword, input: ParseStream<'_>) -> syn::Result<Activation> {
    if !input.peek(Token![=]) {
        return Ok(Activation::Default);
    }
    let function: Expr = keyword.value(input, "Self::create", |input| input.parse())?;
    if let Some(ExprClosure { inputs_begin, inputs, inputs_end, .. }) = closure(&function)
        && inputs.len() != 1
    {
        let guilty = quote!(#inputs_begin #inputs #inputs_end);
        return Err(syn::Error::new_spanned(guilty, text::ACTIVATE_PARAMETERS));
    }
    Ok(Activation::Function(function))
}

fn visibility(input: ParseStream<'_>) -> syn::Result<Visibility> {
    match input.parse()? {
        Visibility::Inherited => Err(input.error(text::NO_VISIBILITY)),
        visibility => Ok(visibility),
    }
}

/// Reads the value of `invoker`: a path names a type, anything else is an expression.
pub(super) fn invoker(keyword: &Keyword, input: ParseStream<'_>) -> syn::Result<Invoker> {
    let expr: Expr = keyword.value(input, "SerializedInvoker", |input| input.parse())?;
    Ok(match expr {
        Expr::Path(path) if is_function(&path) => {
            let typed = crate::print::tokens(&path);
            return Err(syn::Error::new_spanned(&path, text::invoker_is_a_function(&typed)));
        }
        Expr::Path(path) if path.qself.is_none() => Invoker::Type(path.path),
        other => Invoker::Expr(other),
    })
}

/// Whether a path is written as one of a function.
fn is_function(path: &ExprPath) -> bool {
    path.path.segments.last().is_some_and(|last| last.ident.to_string().starts_with(char::is_lowercase))
}

/// Reads the value of `crate`.
pub(super) fn crate_path(keyword: &Keyword, input: ParseStream<'_>) -> syn::Result<Path> {
    keyword.value(input, "some::path", |input| {
        if input.peek(LitStr) {
            return Err(input.error(text::PATH_IN_QUOTES));
        }
        input.call(Path::parse_mod_style)
    })
}

/// Where the runtime crate is found unless the user says otherwise.
pub(super) fn usual_crate() -> Path {
    syn::parse_quote!(::mitogen_service)
}
