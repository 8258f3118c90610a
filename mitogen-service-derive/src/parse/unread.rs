//! Items with a mistake that keeps them from being read.
//!
//! The compiler itself has reported them, since it reads an item before a macro sees it. Most are in the body of a
//! function, where nothing of ours is to be found. So such an item is read without its bodies, and if need be without
//! a method that cannot be read at all, and there is a stub all the same.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::token::Brace;
use syn::{Block, Expr, ImplItem, ItemFn, ItemImpl, Stmt};

use crate::words;

/// An impl block, whatever is between its braces.
pub(crate) struct Unread {
    pub(crate) block: ItemImpl,
    /// An item of the block could not be read and was left out.
    pub(crate) is_less: bool,
}

/// Reads such a block.
pub(crate) fn block(item: TokenStream) -> Option<Unread> {
    let mut inner = None;
    let empty = with_block(item, |items| {
        inner = Some(items);
        TokenStream::new()
    });
    let mut block: ItemImpl = syn::parse2(empty?).ok()?;
    block.items = items(inner?).into_iter().map(self::item).collect();
    let is_less = block.items.iter().any(|item| matches!(item, ImplItem::Verbatim(rest) if rest.is_empty()));
    Some(Unread { block, is_less })
}

/// One item, if need be without the body that cannot be read. What is no item at all becomes nothing: the compiler
/// has reported it before a macro sees it, and would report it again.
fn item(tokens: TokenStream) -> ImplItem {
    let nothing = || ImplItem::Verbatim(TokenStream::new());
    if let Ok(item) = syn::parse2(tokens.clone()) {
        return item;
    }
    let Some((hollow, body)) = without_body(tokens) else { return nothing() };
    match syn::parse2(hollow) {
        Ok(ImplItem::Fn(mut function)) => {
            function.block = unread(&body);
            ImplItem::Fn(function)
        }
        _ => nothing(),
    }
}

/// The tokens of each item: up to a semicolon, or to braces that are not part of a value.
fn items(inner: TokenStream) -> Vec<TokenStream> {
    let mut items = vec![TokenStream::new()];
    let mut has_value = false;
    for tree in inner {
        let is_end = match &tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !has_value,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        match &tree {
            // `=>` in place of `->` begins no value.
            TokenTree::Punct(punct) if punct.as_char() == '>' => has_value = false,
            TokenTree::Punct(punct) if punct.as_char() == '=' => has_value = true,
            _ => {}
        }
        if let Some(item) = items.last_mut() {
            item.extend([tree]);
        }
        if is_end {
            has_value = false;
            items.push(TokenStream::new());
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// A function, whatever its body is.
pub(crate) fn function(item: TokenStream) -> Option<ItemFn> {
    let (hollow, body) = without_body(item)?;
    let mut function: ItemFn = syn::parse2(hollow).ok()?;
    *function.block = unread(&body);
    Some(function)
}

/// A function with nothing between its braces, and what was there.
fn without_body(item: TokenStream) -> Option<(TokenStream, Group)> {
    let mut trees: Vec<TokenTree> = item.into_iter().collect();
    match trees.last_mut() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let body = group.clone();
            *group = same(group, |_| TokenStream::new());
            Some((trees.into_iter().collect(), body))
        }
        _ => None,
    }
}

/// Whether this is something with braces that is called so, for all that can be seen.
pub(crate) fn is_like(item: &TokenStream, keyword: &str) -> bool {
    let mut trees = item.clone().into_iter();
    let is_called = trees.any(|tree| matches!(tree, TokenTree::Ident(word) if word == keyword));
    is_called && matches!(trees.last(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

/// Reports a mistake, unless anything else is reported.
///
/// The compiler reads an item before a macro sees it and has then told of a mistake in it. If it knows more of the
/// language than we do it has not, so silence would not do. A lint is what it comes to last and only if all else is right.
pub(crate) fn unless_reported(text: &str) -> TokenStream {
    quote! {
        #[allow(dead_code)]
        const _: () = {
            #[must_use = #text]
            struct WhatIsNotUnderstood;
            // Of a value inside of another one the compiler does not propose to assign it.
            fn read() -> (WhatIsNotUnderstood,) {
                (WhatIsNotUnderstood,)
            }
            #[deny(unused_must_use)]
            fn report() {
                read();
            }
        };
    }
}

/// An impl block that cannot be read at all, without our attributes, of which nobody knows otherwise.
pub(crate) fn without_our_attributes(item: TokenStream) -> TokenStream {
    with_block(item.clone(), |inner| stripped(inner, true)).unwrap_or(item)
}

/// Changes what is between the last braces.
fn with_block(item: TokenStream, change: impl FnOnce(TokenStream) -> TokenStream) -> Option<TokenStream> {
    let mut trees: Vec<TokenTree> = item.into_iter().collect();
    match trees.last_mut() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => *group = same(group, change),
        _ => return None,
    }
    Some(trees.into_iter().collect())
}

/// A group of the same kind in the same place.
fn same(group: &Group, change: impl FnOnce(TokenStream) -> TokenStream) -> Group {
    let mut changed = Group::new(group.delimiter(), change(group.stream()));
    changed.set_span(group.span());
    changed
}

/// A block around the one that was put aside, whose braces so keep their places: what the compiler says of the
/// second reading is then what it has said of the first, and said once.
fn unread(body: &Group) -> Block {
    let brace_token = Brace { span: body.delim_span() };
    Block { brace_token, stmts: vec![Stmt::Expr(Expr::Verbatim(body.to_token_stream()), None)] }
}

/// Takes our attributes off items, and off the parameters of functions.
pub(super) fn stripped(inner: TokenStream, parameters: bool) -> TokenStream {
    let mut trees = inner.into_iter().peekable();
    let mut kept = TokenStream::new();
    while let Some(tree) = trees.next() {
        let is_hash = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '#');
        if is_hash && matches!(trees.peek(), Some(TokenTree::Group(group)) if is_ours(group)) {
            trees.next();
            continue;
        }
        match tree {
            TokenTree::Group(group) if parameters && group.delimiter() == Delimiter::Parenthesis => {
                same(&group, |inner| stripped(inner, false)).to_tokens(&mut kept);
            }
            other => other.to_tokens(&mut kept),
        }
    }
    kept
}

fn is_ours(group: &Group) -> bool {
    let attribute = syn::parse2::<syn::Meta>(group.stream());
    let words = words::OF_METHODS.iter().chain([&words::ARG]);
    group.delimiter() == Delimiter::Bracket
        && attribute.is_ok_and(|meta| words.into_iter().any(|word| super::attributes::is_called(meta.path(), word)))
}
