//! What is generated, for people to read: each file of `tests/expansion` beside what becomes of it.
//!
//! After a change, `EXPANSION=overwrite cargo test -p mitogen-service-derive` writes the results anew; read the
//! difference as you would read code.

use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, File, Item, Meta};

use crate::entry;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expansion")
}

/// The items of a file after our macros have run on those that are marked.
fn expanded(source: &str) -> String {
    let file = syn::parse_file(source).unwrap();
    let items = file.items.into_iter().flat_map(|mut item| {
        let attributes = match &mut item {
            Item::Impl(item) => &mut item.attrs,
            Item::Struct(item) => &mut item.attrs,
            Item::Fn(item) => &mut item.attrs,
            _ => return vec![item],
        };
        let is_ours =
            |attribute: &Attribute| ["service", "function"].iter().any(|name| attribute.path().is_ident(name));
        let Some(position) = attributes.iter().position(is_ours) else { return vec![item] };
        let attribute = attributes.remove(position);
        let options = match &attribute.meta {
            Meta::List(list) => list.tokens.clone(),
            _ => Default::default(),
        };
        let made = match attribute.path().is_ident("function") {
            true => entry::function(options, item.into_token_stream()),
            false => entry::service(options, item.into_token_stream()),
        };
        syn::parse2::<File>(made).unwrap().items
    });
    let items = items.collect();
    prettyplease::unparse(&File { items, ..file })
}

#[test]
fn what_is_generated_is_what_was_read() {
    let mut inputs: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.to_str().is_some_and(|name| name.ends_with(".rs") && !name.ends_with(".expanded.rs")));
    assert!(inputs.len() >= 4, "{inputs:?}");
    for input in inputs {
        let now = expanded(&fs::read_to_string(&input).unwrap());
        let output = input.with_extension("expanded.rs");
        if std::env::var_os("EXPANSION").is_some_and(|wish| wish == "overwrite") {
            fs::write(&output, &now).unwrap();
        }
        let read = fs::read_to_string(&output).unwrap_or_default();
        let differs = read.lines().zip(now.lines()).position(|(read, now)| read != now);
        assert!(read == now, "{} is not what is generated, from line {differs:?} on", output.display());
    }
}

/// Whoever has a hundred methods builds a hundred times what one takes.
#[test]
fn a_method_takes_few_lines() {
    let source = fs::read_to_string(folder().join("three_methods.rs")).unwrap();
    let lines = |source: &str| expanded(source).lines().count();
    let all = lines(&source);
    assert!(all <= 505, "a service of three methods takes {all} lines");
    let (begin, end) = (source.find("    /// Adds").unwrap(), source.find("    /// Forgets").unwrap());
    let without_one = source.replacen(&source[begin..end], "", 1);
    let of_one = all - lines(&without_one);
    assert!(of_one <= 125, "a method with two arguments takes {of_one} lines");
}
