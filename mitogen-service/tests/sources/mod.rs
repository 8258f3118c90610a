//! The sources of the crate, as tests read them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the sources of the crate are.
pub(crate) fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files of a folder, and of those inside of it.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let mut files: Vec<_> = files.into_iter().filter(|path| path.extension().is_some_and(|rs| rs == "rs")).collect();
    files.extend(folders.iter().flat_map(|folder| sources(folder)));
    files.sort();
    files
}

/// The words and marks of a source text, each with its line. Comments, strings and character
/// literals are left out; `::` is one mark.
pub(crate) fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let skipped = comment(rest).or_else(|| literal(rest));
        let length = skipped.unwrap_or_else(|| token(rest));
        if skipped.is_none() && !rest.starts_with(char::is_whitespace) {
            tokens.push((line, &rest[..length]));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn token(rest: &str) -> usize {
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    match word {
        0 if rest.starts_with("::") => 2,
        0 => rest.chars().next().map_or(0, char::len_utf8),
        word => word,
    }
}

/// The length of the comment that begins here. Block comments may be nested.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.strip_prefix("/*")?;
    let (mut open, mut at) = (0, 0);
    while at < rest.len() {
        let step = match &rest[at..] {
            here if here.starts_with("/*") => (1, 2),
            here if here.starts_with("*/") => (-1, 2),
            here => (0, here.chars().next().map_or(1, char::len_utf8)),
        };
        open += step.0;
        at += step.1;
        if open == 0 {
            break;
        }
    }
    Some(at)
}

/// The length of the string or character literal that begins here. A lifetime is none.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|rest| {
            let hashes = if prefix.ends_with('r') { rest.trim_start_matches('#') } else { rest };
            hashes.starts_with('"') || (!prefix.ends_with(['r', 'c']) && rest.starts_with('\''))
        })
    })?;
    let body = &rest[prefix.len()..];
    let length = match body.chars().next()? {
        '\'' => character(&body[1..])? + 1,
        '"' if !prefix.ends_with('r') => quoted(&body[1..]) + 1,
        _ => {
            let end = format!("\"{}", "#".repeat(body.find('"')?));
            let start = end.len();
            body[start..].find(&end).map_or(body.len(), |found| start + found + end.len())
        }
    };
    Some(prefix.len() + length)
}

/// The length of a string's inside and its closing quote.
fn quoted(inside: &str) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            c => escaped = c == '\\' && !escaped,
        }
    }
    inside.len()
}

/// The length of a character's inside and its closing quote; `None` for a lifetime.
fn character(inside: &str) -> Option<usize> {
    let first = inside.chars().next()?;
    if first == '\\' {
        return inside[2..].find('\'').map(|end| end + 3);
    }
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 1)
}
