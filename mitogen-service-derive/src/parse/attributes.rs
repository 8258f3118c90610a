//! Takes our attributes off methods and parameters and reads what they say.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprClosure, ExprPath, FnArg, Ident, ImplItem, ItemImpl, LitStr, Meta, Path, Token};

use super::closure::{by_value, closure};
use super::keyed::{Known, each_option, expect_comma, skip_option};
use super::{options, policy, types};
use crate::errors::{Errors, text};
use crate::model::Invoker;
use crate::words;

/// What stands on a method, as it was typed.
#[derive(Default)]
pub(super) struct MethodAttributes {
    /// The first `#[expose]`, where a missing policy is reported.
    pub(super) exposed: Option<Span>,
    /// `#[expose]` was written wrong, so that what is missing may only be misspelt.
    pub(super) expose_is_broken: bool,
    pub(super) policies: Vec<Expr>,
    pub(super) invoker: Option<Invoker>,
    pub(super) no_reply: Option<Span>,
    pub(super) arg_spec: Option<Span>,
    pub(super) specs: Vec<ArgSpec>,
}

impl MethodAttributes {
    /// What the policies and checks name.
    pub(super) fn mentioned(&self) -> impl Iterator<Item = ExprPath> {
        let checks = self.specs.iter().flat_map(|spec| &spec.checks);
        self.policies.iter().chain(checks).flat_map(policy::mentioned)
    }
}

/// One `name(check = ..)` of `#[arg_spec]`.
pub(super) struct ArgSpec {
    pub(super) argument: Ident,
    pub(super) checks: Vec<Expr>,
}

/// `#[arg(..)]` on a parameter.
pub(super) struct ArgAttribute {
    pub(super) span: Span,
    pub(super) default: Option<Default>,
    pub(super) rename: Option<LitStr>,
}

/// What `default` says.
pub(super) enum Default {
    OfType,
    Expr(Expr),
}

/// Whether an attribute of this path is ours and has this name, written bare or with the crate in front.
pub(super) fn is_called(path: &Path, word: &str) -> bool {
    let segments = &path.segments;
    let named = segments.last().is_some_and(|last| last.ident == word);
    let crate_in_front = segments.first().is_some_and(|first| first.ident == "mitogen_service");
    named && (segments.len() == 1 || (segments.len() == 2 && crate_in_front))
}

/// Takes the path of the crate, as the option `crate` gives it, off the attributes of methods and parameters.
pub(super) fn without_crate(block: &mut ItemImpl, krate: &Path) {
    let shorten = |attribute: &mut Attribute| {
        let path = match &mut attribute.meta {
            Meta::Path(path) => path,
            Meta::List(list) => &mut list.path,
            Meta::NameValue(value) => &mut value.path,
        };
        let last = path.segments.last().cloned();
        if path.segments.len() == krate.segments.len() + 1
            && types::is_in(path, krate)
            && let Some(last) = last
        {
            *path = last.ident.into();
        }
    };
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        function.attrs.iter_mut().for_each(shorten);
        for input in &mut function.sig.inputs {
            if let FnArg::Typed(typed) = input {
                typed.attrs.iter_mut().for_each(shorten);
            }
        }
    }
}

/// Takes all attributes of one name off an item.
pub(super) fn take(attributes: &mut Vec<Attribute>, word: &str) -> Vec<Attribute> {
    let (ours, others) = attributes.drain(..).partition(|attribute| is_called(attribute.path(), word));
    *attributes = others;
    ours
}

/// Takes our attributes off a method.
pub(super) fn of_method(attributes: &mut Vec<Attribute>, errors: &Errors) -> MethodAttributes {
    let mut read = MethodAttributes::default();
    for attribute in take(attributes, words::EXPOSE) {
        read.exposed.get_or_insert(attribute.path().span());
        expose(&attribute, &mut read, errors);
    }
    for attribute in take(attributes, words::NO_REPLY) {
        if read.no_reply.replace(attribute.path().span()).is_some() {
            errors.at(attribute.path(), text::attribute_twice(words::NO_REPLY));
        }
        if !matches!(attribute.meta, Meta::Path(_)) {
            let text = match read.exposed {
                Some(_) => text::takes_no_options(words::NO_REPLY),
                None => text::POLICY_OF_NO_REPLY.to_owned(),
            };
            errors.at(&attribute.meta, text);
            // That it is not exposed has been said with it.
            read.no_reply = read.no_reply.filter(|_| read.exposed.is_some());
        }
    }
    for attribute in take(attributes, words::ARG) {
        errors.at(attribute.path(), text::ARG_ON_A_METHOD);
    }
    for attribute in take(attributes, words::ARG_SPEC) {
        read.arg_spec.get_or_insert(attribute.path().span());
        arg_spec(&attribute, &mut read.specs, errors);
    }
    read
}

/// The tokens between an attribute's brackets; none at all is an empty list.
pub(super) fn list(attribute: &Attribute, errors: &Errors) -> TokenStream {
    match &attribute.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(value) => {
            errors.at(value.eq_token, text::OPTION_EXPECTED);
            TokenStream::new()
        }
    }
}

fn expose(attribute: &Attribute, read: &mut MethodAttributes, errors: &Errors) {
    let known = Known { repeatable: &[words::POLICY], ..Known::new(words::EXPOSE, words::OF_EXPOSE) };
    let before = errors.len();
    each_option(list(attribute, errors), &known, errors, |keyword, input| {
        if keyword.word == words::POLICY {
            read.policies.push(policy::read(keyword, input, errors)?);
            return Ok(());
        }
        let invoker = options::invoker(keyword, input)?;
        if read.invoker.replace(invoker).is_some() {
            return Err(syn::Error::new(keyword.span, text::option_twice(words::INVOKER)));
        }
        Ok(())
    });
    read.expose_is_broken |= errors.len() > before;
}

/// Reads `name(check = ..), ..`.
fn arg_spec(attribute: &Attribute, specs: &mut Vec<ArgSpec>, errors: &Errors) {
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            match one_spec(input, errors) {
                Ok(spec) => {
                    specs.push(spec);
                    expect_comma(input, errors);
                }
                Err(error) => {
                    errors.push(error);
                    skip_option(input);
                }
            }
        }
        Ok(())
    };
    errors.ok(parser.parse2(list(attribute, errors)));
}

fn one_spec(input: ParseStream<'_>, errors: &Errors) -> syn::Result<ArgSpec> {
    let argument = input.call(Ident::parse_any)?;
    if !input.peek(syn::token::Paren) {
        let name = argument.to_string();
        let text = match name.as_str() {
            words::CHECK if input.peek(Token![=]) => text::CHECK_OF_NOTHING.to_owned(),
            _ => text::no_check(&name),
        };
        return Err(syn::Error::new(argument.span(), text));
    }
    let inner;
    syn::parenthesized!(inner in input);
    let checks = checks(&argument, inner.parse()?, errors);
    Ok(ArgSpec { argument, checks })
}

fn checks(argument: &Ident, tokens: TokenStream, errors: &Errors) -> Vec<Expr> {
    let known = Known { repeatable: &[words::CHECK], ..Known::new(words::ARG_SPEC, words::OF_ARG_SPEC) };
    let mut checks = Vec::new();
    if tokens.is_empty() {
        errors.at(argument, text::no_check(&argument.to_string()));
    }
    if let Ok(bare @ (Expr::Path(_) | Expr::Closure(_))) = syn::parse2::<Expr>(tokens.clone())
        && !matches!(&bare, Expr::Path(path) if path.path.is_ident(words::CHECK))
    {
        let typed = match &bare {
            Expr::Path(path) => crate::print::tokens(path),
            _ => "..".to_owned(),
        };
        errors.at(&bare, text::bare_check(&argument.to_string(), &typed));
        return vec![bare];
    }
    each_option(tokens, &known, errors, |keyword, input| {
        checks.push(keyword.value(input, "is_valid", |input| input.parse())?);
        Ok(())
    });
    for check in checks.iter().filter_map(closure) {
        check_closure(check, errors);
    }
    checks
}

fn check_closure(check: &ExprClosure, errors: &Errors) {
    let ExprClosure { inputs_begin, inputs, inputs_end, .. } = check;
    if inputs.len() != 1 {
        errors.at(quote!(#inputs_begin #inputs #inputs_end), text::CHECK_PARAMETERS);
    } else if let Some(ty) = by_value(check) {
        errors.at(ty, text::check_by_value(&crate::print::tokens(ty)));
    }
}

/// Takes `#[arg]` off a parameter.
pub(super) fn of_parameter(attributes: &mut Vec<Attribute>, errors: &Errors) -> Option<ArgAttribute> {
    let mut found: Option<ArgAttribute> = None;
    for attribute in take(attributes, words::ARG) {
        let span = attribute.path().span();
        if found.is_some() {
            errors.at_span(span, text::attribute_twice(words::ARG));
            continue;
        }
        found = Some(arg(&attribute, span, errors));
    }
    found
}

fn arg(attribute: &Attribute, span: Span, errors: &Errors) -> ArgAttribute {
    let known = Known::new(words::ARG, words::OF_ARG);
    let mut arg = ArgAttribute { span, default: None, rename: None };
    if let Meta::NameValue(value) = &attribute.meta {
        errors.at(value.eq_token, text::ARG_VALUE);
        return arg;
    }
    let tokens = list(attribute, errors);
    if tokens.is_empty() {
        errors.at(attribute.path(), text::EMPTY_ARG);
    }
    each_option(tokens, &known, errors, |keyword, input| {
        if keyword.word == words::RENAME {
            arg.rename = Some(keyword.value(input, "\"some_name\"", rename)?);
        } else if input.peek(Token![=]) {
            arg.default = Some(Default::Expr(keyword.value(input, "0", |input| input.parse())?));
        } else {
            arg.default = Some(Default::OfType);
        }
        Ok(())
    });
    arg
}

fn rename(input: ParseStream<'_>) -> syn::Result<LitStr> {
    if !input.peek(LitStr) {
        return Err(input.error(text::RENAME_IS_TEXT));
    }
    let name: LitStr = input.parse()?;
    if name.value().is_empty() {
        return Err(syn::Error::new(name.span(), text::RENAME_IS_EMPTY));
    }
    Ok(name)
}
