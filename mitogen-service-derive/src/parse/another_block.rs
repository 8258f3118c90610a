//! A second `#[service]` block on one type.
//!
//! A macro is given one block at a time, and to the compiler each thing that two of them make is a mistake of its own.
//! So the blocks are remembered while a crate is built. Two types of one name in two modules are no mistake, and only
//! the source file shows that two blocks stand in one scope: what is between them has then no brace without its
//! partner. The file is read only after a second block of the name was seen. Where it cannot be had, the compiler
//! is left to tell.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use proc_macro2::{Span, TokenStream, fallback};
use syn::ItemImpl;
use syn::spanned::Spanned;

use super::{method, types};
use crate::model::Method;

/// The block that was there before.
pub(super) struct First {
    /// The line of its `impl`.
    pub(super) line: usize,
    /// The methods that its stub has.
    pub(super) methods: HashSet<String>,
}

/// A block of this crate.
struct Seen {
    file: PathBuf,
    /// The path of the type, without parameters.
    ty: String,
    /// Where its `impl` is.
    begin: Place,
    /// What follows its closing brace.
    end: Place,
    methods: HashSet<String>,
}

/// Line and column, both from one on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    line: usize,
    column: usize,
}

/// The blocks of the crate that is built, one for each service of it.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

/// Remembers a block, and finds the one that is in the same scope on the same type.
pub(super) fn remember(item: &ItemImpl, methods: &[Method]) -> Option<First> {
    let block = seen(item, methods)?;
    let mut all = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut before = all.iter().filter(|other| other.file == block.file && other.ty == block.ty);
    let first = before.find(|other| are_in_one_scope(other, &block));
    let first = first.map(|other| First { line: other.begin.line, methods: other.methods.clone() });
    all.push(block);
    first
}

/// Nothing, where places are not known or `#[cfg]` may choose between two blocks.
fn seen(item: &ItemImpl, methods: &[Method]) -> Option<Seen> {
    if !proc_macro::is_available() || !method::named(&item.attrs, "cfg").is_empty() {
        return None;
    }
    let path = types::path(&item.self_ty)?;
    let begin = Span::unwrap(item.impl_token.span());
    let end = Span::unwrap(item.brace_token.span.close()).end();
    Some(Seen {
        file: begin.local_file()?,
        ty: path.segments.iter().map(|segment| segment.ident.to_string() + "::").collect(),
        begin: Place { line: begin.line(), column: begin.column() },
        end: Place { line: end.line(), column: end.column() },
        methods: methods.iter().map(|method| method.wire_name.clone()).collect(),
    })
}

fn are_in_one_scope(first: &Seen, second: &Seen) -> bool {
    let source = || fs::read_to_string(&second.file).ok();
    first.end <= second.begin
        && source().is_some_and(|source| {
            let between = between(&source, first.end, second.begin);
            between.is_some_and(is_balanced)
        })
}

/// What is between the end of one block and the beginning of the next, if these are where they are said to be.
fn between(source: &str, end: Place, begin: Place) -> Option<&str> {
    let (end, begin) = (offset(source, end)?, offset(source, begin)?);
    let is_there = source[..end].ends_with('}') && source[begin..].starts_with("impl");
    source.get(end..begin).filter(|_| is_there)
}

fn offset(source: &str, place: Place) -> Option<usize> {
    let before: usize = source.split_inclusive('\n').take(place.line.checked_sub(1)?).map(str::len).sum();
    let line = source.get(before..)?;
    let (in_line, _) = line.char_indices().nth(place.column.checked_sub(1)?)?;
    Some(before + in_line)
}

/// Whether every brace has its partner. The compiler's own lexer would report one that has not.
fn is_balanced(source: &str) -> bool {
    fallback::force();
    let lexed = source.parse::<TokenStream>().is_ok();
    fallback::unforce();
    lexed
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "impl A { fn a() {} }\n/// ü {\n#[service] impl A {}\nmod b { impl A {} }\n";

    fn place(line: usize, column: usize) -> Place {
        Place { line, column }
    }

    #[test]
    fn what_is_between_two_blocks_is_found() {
        assert_eq!(between(SOURCE, place(1, 21), place(3, 12)), Some("\n/// ü {\n#[service] "));
        assert_eq!(between(SOURCE, place(3, 21), place(4, 9)), Some("\nmod b { "));
    }

    #[test]
    fn a_place_where_no_block_is_finds_nothing() {
        assert_eq!(between(SOURCE, place(1, 20), place(3, 12)), None);
        assert_eq!(between(SOURCE, place(1, 21), place(3, 13)), None);
        assert_eq!(between(SOURCE, place(1, 21), place(30, 12)), None);
        assert_eq!(between(SOURCE, place(1, 210), place(3, 12)), None);
    }

    #[test]
    fn braces_in_texts_and_comments_do_not_count() {
        assert!(is_balanced("\n/// ü {\nconst A: &str = \"}\"; #[service] "));
        assert!(!is_balanced("\nmod b { "));
        assert!(!is_balanced(" } mod b { "));
        assert!(!is_balanced(" const A: &str = \"{\"; } mod b { const B: &str = \"}\"; "));
    }
}
