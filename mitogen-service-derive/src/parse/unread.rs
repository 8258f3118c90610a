//! Items with a mistake that keeps them from being read.
//!
//! Most of them are in the body of a function, where the compiler itself reports them and nothing of ours is to be
//! found. So such an item is read without its bodies, and there is a stub all the same.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::token::Brace;
use syn::{Block, Expr, ImplItem, ItemFn, ItemImpl, Stmt};

use crate::words;

/// An impl block, whatever the bodies of its methods are.
pub(crate) fn block(item: TokenStream) -> Option<ItemImpl> {
    let mut bodies = Vec::new();
    let hollow = with_block(item, |inner| without_bodies(inner, &mut bodies));
    let mut block: ItemImpl = syn::parse2(hollow?).ok()?;
    let functions = block.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(function) => Some(&mut function.block),
        _ => None,
    });
    let functions: Vec<_> = functions.collect();
    // Of anything else between braces it is not known where it belongs.
    if functions.len() != bodies.len() {
        return None;
    }
    functions.into_iter().zip(&bodies).for_each(|(block, body)| *block = unread(body));
    Some(block)
}

/// A function, whatever its body is.
pub(crate) fn function(item: TokenStream) -> Option<ItemFn> {
    let mut body = None;
    let mut trees: Vec<TokenTree> = item.into_iter().collect();
    if let Some(TokenTree::Group(group)) = trees.last_mut()
        && group.delimiter() == Delimiter::Brace
    {
        body = Some(group.clone());
        *group = Group::new(Delimiter::Brace, TokenStream::new());
    }
    let mut function: ItemFn = syn::parse2(trees.into_iter().collect()).ok()?;
    *function.block = unread(&body?);
    Some(function)
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

/// The items of a block, with nothing between the braces of its functions.
fn without_bodies(inner: TokenStream, bodies: &mut Vec<Group>) -> TokenStream {
    let mut in_function = false;
    let trees = inner.into_iter().map(|tree| match tree {
        TokenTree::Group(group) if in_function && group.delimiter() == Delimiter::Brace => {
            in_function = false;
            let empty = same(&group, |_| TokenStream::new());
            bodies.push(group);
            empty.into()
        }
        other => {
            in_function = match &other {
                TokenTree::Ident(ident) if ident == "fn" => true,
                TokenTree::Punct(punct) if punct.as_char() == ';' => false,
                _ => in_function,
            };
            other
        }
    });
    trees.collect()
}

/// A block around the one that was put aside, whose braces so keep their places: what the compiler says of the
/// second reading is then what it has said of the first, and said once.
fn unread(body: &Group) -> Block {
    let brace_token = Brace { span: body.delim_span() };
    Block { brace_token, stmts: vec![Stmt::Expr(Expr::Verbatim(body.to_token_stream()), None)] }
}

/// Takes our attributes off items, and off the parameters of functions.
fn stripped(inner: TokenStream, parameters: bool) -> TokenStream {
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
