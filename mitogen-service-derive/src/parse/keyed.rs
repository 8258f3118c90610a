//! Reads lists of options: `keyword`, `keyword = value` or `keyword(..)`, separated by commas.
//!
//! A mistake in one option does not hide those of the next: reading goes on after the comma.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, LitStr, Token};

use crate::errors::{Errors, text};
use crate::words;

/// The attribute whose options are read.
pub(crate) struct Known {
    pub(crate) attribute: &'static str,
    pub(crate) options: &'static [&'static str],
    /// Options that may stand there more than once.
    pub(crate) repeatable: &'static [&'static str],
    /// Options that stand on the impl block instead.
    pub(crate) of_impl: &'static [&'static str],
}

impl Known {
    /// An attribute whose options stand once each.
    pub(crate) fn new(attribute: &'static str, options: &'static [&'static str]) -> Self {
        Self { attribute, options, repeatable: &[], of_impl: &[] }
    }
}

/// A keyword that was found.
pub(crate) struct Keyword {
    pub(crate) word: String,
    pub(crate) span: Span,
}

impl Keyword {
    /// Reads `= value`, or asks for it with an example.
    pub(crate) fn value<T>(
        &self,
        input: ParseStream<'_>,
        example: &str,
        parse: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
    ) -> syn::Result<T> {
        let missing = || syn::Error::new(self.span, text::option_without_value(&self.word, example));
        if !input.peek(Token![=]) {
            return Err(missing());
        }
        input.parse::<Token![=]>()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(missing());
        }
        parse(input)
    }
}

/// Reads a list of options and hands each known one to `read`, which takes its value.
pub(crate) fn each_option(
    tokens: TokenStream,
    known: &Known,
    errors: &Errors,
    mut read: impl FnMut(&Keyword, ParseStream<'_>) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            match one_option(input, known, &mut seen, &mut read) {
                Ok(()) => expect_comma(input, errors),
                Err(error) => {
                    errors.push(error);
                    skip_option(input);
                }
            }
        }
        Ok(())
    };
    errors.ok(parser.parse2(tokens));
}

fn one_option(
    input: ParseStream<'_>,
    known: &Known,
    seen: &mut Vec<String>,
    read: &mut impl FnMut(&Keyword, ParseStream<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    if input.peek(LitStr) && known.options.contains(&words::NAME) {
        let name: LitStr = input.parse()?;
        return Err(syn::Error::new_spanned(&name, text::bare_name(&crate::print::tokens(&name))));
    }
    if !input.peek(Ident::peek_any) {
        return Err(input.error(text::OPTION_EXPECTED));
    }
    if let Some(error) = bare_policy(input, known) {
        return Err(error);
    }
    let ident = input.call(Ident::parse_any)?;
    let word = ident.to_string();
    if known.of_impl.contains(&word.as_str()) {
        return Err(syn::Error::new(ident.span(), text::option_of_impl(&word)));
    }
    if !known.options.contains(&word.as_str()) {
        let text = match () {
            () if words::OF_METHODS.contains(&word.as_str()) => text::option_is_an_attribute(&word, known.attribute),
            () if known.attribute == words::SERVICE && word == words::POLICY => text::POLICY_OF_SERVICE.to_owned(),
            () => text::unknown_option(&word, known.attribute, known.options),
        };
        return Err(syn::Error::new(ident.span(), text));
    }
    if seen.contains(&word) && !known.repeatable.contains(&word.as_str()) {
        return Err(syn::Error::new(ident.span(), text::option_twice(&word)));
    }
    seen.push(word.clone());
    let span = ident.span();
    read(&Keyword { word, span }, input)
}

/// Recognises `#[expose(AllowAny)]`: a policy without its keyword.
fn bare_policy(input: ParseStream<'_>, known: &Known) -> Option<syn::Error> {
    if !known.options.contains(&words::POLICY) {
        return None;
    }
    let ahead = input.fork();
    let expr: Expr = ahead.parse().ok()?;
    let named = match &expr {
        Expr::Call(call) => &*call.func,
        other => other,
    };
    let Expr::Path(named) = named else {
        return None;
    };
    let segments = &named.path.segments;
    let looks_like_one = segments.len() > 1
        || segments.last().is_some_and(|last| last.ident.to_string().starts_with(char::is_uppercase));
    looks_like_one.then(|| {
        let typed = crate::print::tokens(&expr);
        syn::Error::new_spanned(&expr, text::bare_policy(&typed))
    })
}

/// Reads the comma between two options, or reports that it is missing.
pub(super) fn expect_comma(input: ParseStream<'_>, errors: &Errors) {
    if input.is_empty() {
        return;
    }
    if input.parse::<Option<Token![,]>>().is_ok_and(|comma| comma.is_some()) {
        return;
    }
    let is_value = input.peek(Token![:]) || input.peek(syn::token::Paren);
    errors.push(input.error(if is_value { text::NO_EQUALS } else { text::NO_COMMA }));
    skip_option(input);
}

/// Leaves the rest of an option behind, with the comma after it.
pub(super) fn skip_option(input: ParseStream<'_>) {
    while !input.is_empty() {
        let comma = input.peek(Token![,]);
        // Anything that is left is a token tree, so this cannot fail.
        if input.parse::<TokenTree>().is_err() || comma {
            return;
        }
    }
}
