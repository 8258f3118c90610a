//! Attributes that are meant as ours without being them: misspelt ones, and those inside of `cfg_attr`.
//!
//! Each is reported and then put into the form that was meant, so that nothing else complains of it.

use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, Meta, Token, parse_quote};

use super::attributes::is_called;
use super::keyed::skip_option;
use crate::errors::{Errors, text};
use crate::suggest::nearest;
use crate::words;

/// What the original and other crates call one of ours.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("on_message_received", words::ON_MESSAGE),
    ("on_init", words::ON_START),
    ("on_stop", words::ON_SHUTDOWN),
    ("on_exit", words::ON_SHUTDOWN),
];

/// Near to one of ours, but as likely to be the attribute of another crate.
const OF_OTHERS: &[&str] = &["export"];

/// Mends the attributes of a method, which may be those of this list.
pub(super) fn of_method(attributes: &mut Vec<Attribute>, ours: &[&str], errors: &Errors) {
    uncover(attributes, ours, errors);
    for attribute in attributes {
        respell(attribute, ours, errors);
    }
}

/// Mends the attributes of a parameter. None of those that are written for a field can be there.
pub(super) fn of_parameter(attributes: &mut Vec<Attribute>, errors: &Errors) {
    uncover(attributes, &[words::ARG], errors);
    attributes.retain_mut(|attribute| {
        let path = attribute.path();
        if path.is_ident("doc") {
            errors.at(attribute, text::DOCS_ON_PARAMETER);
            return false;
        }
        let typed = path.get_ident().map(|ident| ident.unraw().to_string());
        let of_a_field = typed.filter(|typed| typed == "serde" || words::OF_ARG.contains(&typed.as_str()));
        if let Some(typed) = of_a_field {
            errors.at(path, text::not_for_arguments(&typed));
            return false;
        }
        respell(attribute, &[words::ARG], errors);
        true
    });
}

/// Gives a near miss the name that was meant.
fn respell(attribute: &mut Attribute, ours: &[&str], errors: &Errors) {
    let Some(ident) = attribute.path().get_ident() else { return };
    let typed = ident.unraw().to_string();
    let span = ident.span();
    if ours.contains(&typed.as_str()) || OF_OTHERS.contains(&typed.as_str()) {
        return;
    }
    let by_meaning = OTHER_WORDS.iter().find(|(word, meant)| *word == typed && ours.contains(meant));
    let Some(meant) = by_meaning.map(|(_, meant)| *meant).or_else(|| nearest(&typed, ours)) else { return };
    errors.at(attribute.path(), text::misspelt_attribute(&typed, meant));
    let path = match &mut attribute.meta {
        Meta::Path(path) => path,
        Meta::List(list) => &mut list.path,
        Meta::NameValue(value) => &mut value.path,
    };
    *path = Ident::new(meant, span).into();
}

/// Takes attributes of these names out of `cfg_attr`.
fn uncover(attributes: &mut Vec<Attribute>, ours: &[&str], errors: &Errors) {
    let mut uncovered = Vec::new();
    attributes.retain(|attribute| {
        let before = uncovered.len();
        for meta in conditional(&attribute.meta) {
            if let Some(word) = ours.iter().find(|word| is_called(meta.path(), word)) {
                errors.at(meta.path(), text::conditional_attribute(word));
                uncovered.push(parse_quote!(#[#meta]));
            }
        }
        uncovered.len() == before
    });
    attributes.append(&mut uncovered);
}

/// What a `cfg_attr` adds, at whatever depth; nothing if it is none.
pub(super) fn conditional(meta: &Meta) -> Vec<Meta> {
    let Meta::List(list) = meta else { return Vec::new() };
    if !list.path.is_ident("cfg_attr") {
        return Vec::new();
    }
    let parser = |input: ParseStream<'_>| {
        // The condition.
        skip_option(input);
        Punctuated::<Meta, Token![,]>::parse_terminated(input)
    };
    // If it cannot be read, the compiler says so.
    let added = parser.parse2(list.tokens.clone()).unwrap_or_default();
    let each = added.into_iter().map(|meta| match meta.path().is_ident("cfg_attr") {
        true => conditional(&meta),
        false => vec![meta],
    });
    each.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attribute_of_the_language_is_taken_for_a_near_miss() {
        let of_the_language = [
            "allow",
            "automatically_derived",
            "bench",
            "cfg",
            "cfg_attr",
            "cold",
            "coverage",
            "deny",
            "deprecated",
            "doc",
            "expect",
            "export_name",
            "forbid",
            "ignore",
            "inline",
            "instruction_set",
            "link_section",
            "must_use",
            "naked",
            "no_mangle",
            "optimize",
            "should_panic",
            "target_feature",
            "test",
            "track_caller",
            "warn",
        ];
        for name in of_the_language {
            assert_eq!(nearest(name, words::OF_METHODS), None, "{name}");
            assert_eq!(nearest(name, &[words::ARG]), None, "{name}");
        }
    }

    #[test]
    fn what_is_conditional_is_found_at_any_depth() {
        let found = |attribute: Attribute| {
            let metas = conditional(&attribute.meta);
            metas.iter().map(|meta| crate::print::tokens(meta.path())).collect::<Vec<_>>()
        };
        let nested = parse_quote!(#[cfg_attr(all(unix, not(test)), inline, cfg_attr(true, expose(policy = A), cold))]);
        assert_eq!(found(nested), ["inline", "expose", "cold"]);
        assert!(found(parse_quote!(#[cfg_attr(unix)])).is_empty());
        assert!(found(parse_quote!(#[inline(always)])).is_empty());
    }
}
