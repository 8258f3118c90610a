//! The values of `policy`: any expression, without those of which it is known what was meant instead.

use std::mem::discriminant;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{BinOp, Expr, ExprCall, ExprClosure, ExprPath, Path, ReturnType, Token, Type, UnOp};

use super::closure::{by_value, closure};
use super::keyed::Keyword;
use crate::errors::{Errors, text};
use crate::print;

/// The policies of the runtime that are a name and nothing else.
const BUILT_IN: &[&str] = &["AllowAny", "AllowParents", "AllowSelf"];
/// Those that are made of values.
const OF_VALUES: &[&str] = &["AllowUid", "AllowGid", "AnyOf"];

/// Reads the value of `policy`, which is there even if it is a mistake.
pub(super) fn read(keyword: &Keyword, input: ParseStream<'_>, errors: &Errors) -> syn::Result<Expr> {
    let expr: Expr = keyword.value(input, "AllowParents", |input| input.parse())?;
    for (guilty, text) in members(&expr).into_iter().filter_map(mistake) {
        errors.at(guilty, text);
    }
    Ok(expr)
}

/// The names in a policy or in a mistake for one that are values by themselves.
pub(super) fn mentioned(policy: &Expr) -> Vec<ExprPath> {
    let in_all = |policies: &Punctuated<Expr, Token![,]>| policies.iter().flat_map(mentioned).collect::<Vec<_>>();
    match policy {
        Expr::Path(path) => vec![path.clone()],
        Expr::Array(list) => in_all(&list.elems),
        Expr::Tuple(list) => in_all(&list.elems),
        Expr::Call(call) => in_all(&call.args).into_iter().chain(mentioned(&call.func)).collect(),
        Expr::Unary(unary) => mentioned(&unary.expr),
        Expr::Binary(binary) => [&binary.left, &binary.right].into_iter().flat_map(|one| mentioned(one)).collect(),
        _ => Vec::new(),
    }
}

/// Whether this is `AnyOf(..)`.
pub(crate) fn is_any_of(call: &ExprCall) -> bool {
    path(&call.func).and_then(|path| path.segments.last()).is_some_and(|last| last.ident == "AnyOf")
}

/// The policies of an `AnyOf((..))`, however deep, or the one that this is.
fn members(policy: &Expr) -> Vec<&Expr> {
    match policy {
        Expr::Call(call) if is_any_of(call) => match call.args.first() {
            Some(Expr::Tuple(tuple)) if call.args.len() == 1 && !tuple.elems.is_empty() => {
                tuple.elems.iter().flat_map(members).collect()
            }
            _ => vec![policy],
        },
        _ => vec![policy],
    }
}

/// What cannot be a policy, and what to write instead.
fn mistake(expr: &Expr) -> Option<(TokenStream, String)> {
    let text = match expr {
        Expr::Array(list) => text::policies_in_a_list(&printed(&list.elems)),
        Expr::Tuple(list) => text::policies_in_a_list(&printed(&list.elems)),
        Expr::Binary(binary) => {
            let operands = operands(expr, &binary.op);
            match binary.op {
                BinOp::And(_) => text::policies_with_and(&printed(operands)),
                BinOp::Or(_) => text::policies_with_or(&printed(operands)),
                // Types of the user may have these operators; ours have not.
                BinOp::BitAnd(_) if operands.iter().all(is_built_in) => text::policies_with_and(&printed(operands)),
                BinOp::BitOr(_) if operands.iter().all(is_built_in) => text::policies_with_or(&printed(operands)),
                _ => return None,
            }
        }
        Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) && is_ours(&unary.expr) => {
            text::negated_policy(&print::tokens(&unary.expr))
        }
        Expr::Call(call) if is_built_in(&call.func) => text::called_policy(&print::tokens(&call.func)),
        Expr::Call(call) if is_any_of(call) => {
            if matches!(call.args.first(), Some(Expr::Tuple(tuple)) if tuple.elems.is_empty()) {
                return Some((call.args.to_token_stream(), text::policies_in_a_list(&[])));
            }
            return Some((call.args.to_token_stream(), text::any_of(&print::tokens(&call.args))));
        }
        Expr::MethodCall(call) if path(&call.receiver).is_some_and(|receiver| receiver.is_ident("self")) => {
            text::called_policy(&format!("Self::{}", call.method))
        }
        other => return in_closure(closure(other)?),
    };
    Some((expr.to_token_stream(), text))
}

fn in_closure(closure: &ExprClosure) -> Option<(TokenStream, String)> {
    let ExprClosure { asyncness, inputs_begin, inputs, inputs_end, output, .. } = closure;
    if let Some(word) = asyncness {
        return Some((word.to_token_stream(), text::CLOSURE_ASYNC.to_owned()));
    }
    if inputs.len() != 2 {
        return Some((quote!(#inputs_begin #inputs #inputs_end), text::CLOSURE_PARAMETERS.to_owned()));
    }
    if let Some(ty) = by_value(closure) {
        return Some((ty.to_token_stream(), text::closure_by_value(&print::tokens(ty))));
    }
    match output {
        ReturnType::Type(_, ty) if !matches!(&**ty, Type::Path(ty) if ty.path.is_ident("bool")) => {
            Some((ty.to_token_stream(), text::CLOSURE_RESULT.to_owned()))
        }
        _ => None,
    }
}

/// Reports policies that call a method of the service in place of naming it.
pub(super) fn check_called<'a>(
    policies: impl IntoIterator<Item = &'a Expr>,
    takes_self: impl Fn(&str) -> bool,
    errors: &Errors,
) {
    for policy in policies.into_iter().flat_map(members) {
        if let Expr::Call(call) = policy
            && let Some(called) = path(&call.func)
            && called.segments.len() == 2
            && called.segments[0].ident == "Self"
            && takes_self(&called.segments[1].ident.to_string())
        {
            errors.at(policy, text::called_policy(&print::tokens(called)));
        }
    }
}

/// What an operator stands between, however often.
fn operands(expr: &Expr, op: &BinOp) -> Vec<Expr> {
    match expr {
        Expr::Binary(binary) if discriminant(&binary.op) == discriminant(op) => {
            let mut all = operands(&binary.left, op);
            all.extend(operands(&binary.right, op));
            all
        }
        other => vec![other.clone()],
    }
}

fn is_built_in(expr: &Expr) -> bool {
    is_one_of(expr, BUILT_IN)
}

/// Whether this is a policy of the runtime, with its values if it has some.
fn is_ours(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => is_one_of(&call.func, OF_VALUES),
        other => is_built_in(other),
    }
}

fn is_one_of(expr: &Expr, names: &[&str]) -> bool {
    let last = path(expr).and_then(|path| path.segments.last());
    last.is_some_and(|last| names.iter().any(|name| last.ident == name))
}

fn path(expr: &Expr) -> Option<&Path> {
    match expr {
        Expr::Path(path) => Some(&path.path),
        _ => None,
    }
}

fn printed<T: ToTokens>(policies: impl IntoIterator<Item = T>) -> Vec<String> {
    policies.into_iter().map(|policy| print::tokens(&policy)).collect()
}
