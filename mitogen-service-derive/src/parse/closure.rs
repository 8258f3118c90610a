//! Closures as values of options.

use syn::{Expr, ExprClosure, Pat, Type};

/// A closure, in parentheses or not.
pub(crate) fn closure(expr: &Expr) -> Option<&ExprClosure> {
    match expr {
        Expr::Closure(closure) => Some(closure),
        Expr::Paren(paren) => closure(&paren.expr),
        Expr::Group(group) => closure(&group.expr),
        _ => None,
    }
}

/// The type of the first parameter that is written as one by value.
pub(super) fn by_value(closure: &ExprClosure) -> Option<&Type> {
    closure.inputs.iter().find_map(|input| match input {
        Pat::Type(parameter) if matches!(*parameter.ty, Type::Path(_)) => Some(&*parameter.ty),
        _ => None,
    })
}
