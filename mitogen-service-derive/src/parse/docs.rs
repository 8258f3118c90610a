//! The text of doc comments.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The lines of the doc comments, without the space after the slashes.
pub(super) fn text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    let joined = lines.join("\n");
    joined.trim().to_owned()
}

/// One `#[doc = "..."]`. Docs that a macro makes are left out: nothing is known about them here.
fn line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(doc) = &attribute.meta else {
        return None;
    };
    if !doc.path.is_ident("doc") {
        return None;
    }
    match &doc.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let text = text.value();
            Some(text.strip_prefix(' ').unwrap_or(&text).to_owned())
        }
        _ => None,
    }
}
