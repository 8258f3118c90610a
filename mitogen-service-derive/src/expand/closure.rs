//! Closures of the user that are called by something of ours.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident};
use syn::{Expr, ExprClosure, Pat, Stmt};

use super::ends;

/// The closure without the types of its parameters, which the body asks for instead: a wrong one is then reported where
/// it stands.
pub(super) fn retyped(closure: &ExprClosure) -> TokenStream {
    let mut closure = closure.clone();
    let mut typed: Vec<Stmt> = Vec::new();
    for (position, input) in closure.inputs.iter_mut().enumerate() {
        let Pat::Type(parameter) = input else { continue };
        let (_, place) = ends(&parameter.ty);
        let name = format_ident!("__asked_{position}", span = place);
        let (pat, ty) = (&parameter.pat, &parameter.ty);
        typed.push(syn::parse_quote!(let #pat: #ty = #name;));
        *input = syn::parse_quote!(#name);
    }
    if typed.is_empty() {
        return closure.into_token_stream();
    }
    match &mut *closure.body {
        // Braces around braces would be unused ones.
        Expr::Block(body) if body.label.is_none() && body.attrs.is_empty() => {
            typed.append(&mut body.block.stmts);
            body.block.stmts = typed;
        }
        body => *body = syn::parse_quote!({ #(#typed)* #body }),
    }
    closure.into_token_stream()
}
