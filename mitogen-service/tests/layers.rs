//! A lower layer never names a higher one: read from the sources, since the compiler would not mind.
//!
//! Every path that begins at the root of the crate, `crate::x` or enough `super::`, must lead to a
//! module that the file may know. Comments and strings are not looked at. Names that the crate
//! re-exports at its root are refused inside of it: they would hide the layer that they belong to.
#![forbid(unsafe_code)]

mod sources;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use sources::{source_root, sources, tokens};

/// From the lowest to the highest. Each may name itself, those before it, and the base.
const LAYERS: [&str; 7] = ["wire", "io", "router", "channel", "service", "connect", "files"];

/// Below all layers, and known to all.
const BASE: [&str; 11] =
    ["deadline", "error", "executable", "hash", "latch", "ledger", "log", "panics", "process", "sync", "sys"];

/// Above all layers: the root of the crate, what a process does first, the macros, what generated code uses,
/// what tests and fuzz targets use.
const TOP: [&str; 6] = ["lib", "entry", "macros", "__private", "testing", "fuzzing"];

/// What may be named although it is higher, each with its reason.
const EXCEPTIONS: [(&str, &str); 2] = [
    // The texts and bytes of an error come out of a message, and `Blob` holds them.
    ("error", "wire"),
    // The C library calls a function of the one file that may hold unsafe code, and that function
    // enters the child.
    ("sys", "entry"),
];

#[test]
fn no_layer_names_a_higher_one() {
    let mut violations = Vec::new();
    for file in sources(&source_root()) {
        let text = fs::read_to_string(&file).unwrap();
        violations.extend(violations_in(&file, &text).iter().map(ToString::to_string));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_module_is_a_layer_or_has_its_place_below_or_above() {
    for entry in fs::read_dir(source_root()).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let known = [&LAYERS[..], &BASE, &TOP].concat().contains(&name.as_str());
        assert!(known, "src/{name} is new: give it a place in LAYERS, BASE or TOP of this test");
    }
}

#[test]
fn every_layer_says_in_its_first_lines_what_it_is() {
    let present = LAYERS.map(|layer| source_root().join(layer)).into_iter().filter(|folder| folder.is_dir());
    for folder in present {
        let file = folder.join("mod.rs");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} must begin with `//!` docs", file.display());
    }
}

// ---- who may name whom ----

#[derive(Debug, PartialEq)]
struct Violation {
    file: PathBuf,
    line: usize,
    layer: String,
    named: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, layer, named } = self;
        write!(f, "src/{}:{line}: `{layer}` must not name `crate::{named}`", file.display())
    }
}

/// What a file names that it must not. `file` is absolute, or relative to `src`.
fn violations_in(file: &Path, text: &str) -> Vec<Violation> {
    let file = file.strip_prefix(source_root()).unwrap_or(file);
    let module = module_of(file);
    let layer = module.first().map_or("lib", String::as_str);
    if TOP.contains(&layer) {
        return Vec::new();
    }
    let named = roots(&tokens(text), module.len());
    let forbidden = named.into_iter().filter(|(_, named)| !may_name(layer, named));
    forbidden.map(|(line, named)| Violation { file: file.to_owned(), line, layer: layer.to_owned(), named }).collect()
}

fn may_name(layer: &str, named: &str) -> bool {
    let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    let lower = matches!((rank(layer), rank(named)), (Some(own), Some(other)) if other <= own);
    lower || BASE.contains(&named) || EXCEPTIONS.contains(&(layer, named))
}

/// The path of a file's module: `router/core.rs` is `router::core`, `router/mod.rs` is `router`.
fn module_of(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod" && name != "lib").collect()
}

// ---- paths from the root of the crate ----

/// The first segment of each path that begins at the root of the crate, with its line. `depth` is
/// how many modules the file lies below the root.
fn roots(tokens: &[(usize, &str)], depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // How many braces are open, and at which of them an inline module has begun.
    let (mut braces, mut modules) = (0, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match text_at(tokens, at) {
            "{" => {
                braces += 1;
                if at >= 2 && text_at(tokens, at - 2) == "mod" {
                    modules.push(braces);
                }
            }
            "}" => {
                if modules.last() == Some(&braces) {
                    modules.pop();
                }
                braces -= 1;
            }
            "crate" | "super" if at == 0 || text_at(tokens, at - 1) != "::" => {
                let supers = tokens[at..].chunks(2).take_while(|pair| is_step(pair, "super")).count();
                if is_step(&tokens[at..], "crate") {
                    found.extend(firsts(tokens, at + 2));
                } else if supers > 0 && supers == depth + modules.len() {
                    found.extend(firsts(tokens, at + 2 * supers));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether the tokens begin with `name::`.
fn is_step(tokens: &[(usize, &str)], name: &str) -> bool {
    text_at(tokens, 0) == name && text_at(tokens, 1) == "::"
}

/// The name at this place, or the first names of all paths in the group that begins here.
fn firsts(tokens: &[(usize, &str)], at: usize) -> Vec<(usize, String)> {
    let name = |at: usize| (tokens[at].0, text_at(tokens, at).to_owned());
    if text_at(tokens, at) != "{" {
        return if at < tokens.len() { vec![name(at)] } else { Vec::new() };
    }
    let (mut names, mut open) = (Vec::new(), 0);
    for at in at..tokens.len() {
        match text_at(tokens, at) {
            "{" => open += 1,
            "}" => open -= 1,
            _ if open == 1 && matches!(text_at(tokens, at - 1), "{" | ",") => names.push(name(at)),
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    names
}

fn text_at<'a>(tokens: &[(usize, &'a str)], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.1)
}

// ---- the test of the test ----

/// The lines and names that are refused in a file of this text.
fn refused(file: &str, text: &str) -> Vec<(usize, String)> {
    violations_in(Path::new(file), text).into_iter().map(|found| (found.line, found.named)).collect()
}

#[test]
fn a_higher_layer_is_found_wherever_it_is_named() {
    let text = "\
//! Beside crate::service.
use crate::wire::{Header, crate_service};
use crate::{
    error::Error, router::{Core, Router},
    service,
};
fn f() -> crate::connect::Local { g::<crate::io::Stream>(); 'a: loop {} }
mod tests {
    use super::super::super::channel::Call;
    use super::super::Sibling;
}
use super::super::service::Pool;
use crate::AllowAny;
";
    let refused = refused("router/core.rs", text);
    let expected = [(5, "service"), (7, "connect"), (9, "channel"), (12, "service"), (13, "AllowAny")];
    assert_eq!(refused, expected.map(|(line, name)| (line, name.to_owned())));
}

#[test]
fn comments_and_literals_name_nothing() {
    let text = r####"
/* crate::service /* crate::service */ crate::service */
/// [`crate::service`]
const A: &str = "crate::service \" crate::service";
const B: &str = r#"crate::service " crate::service"#;
const C: (char, u8, char) = ('"', b'\'', '\u{22}');
fn f<'a>(x: &'a str) -> &'a crate::service::Pool {}
"####;
    assert_eq!(refused("io/stream.rs", text), [(7, "service".to_owned())]);
}

#[test]
fn the_base_knows_no_layer() {
    assert_eq!(refused("latch.rs", "use crate::wire::Blob;"), [(1, "wire".to_owned())]);
    assert_eq!(refused("error/mod.rs", "use crate::wire::Blob;"), []);
    assert_eq!(refused("error/exit.rs", "use crate::io::Stream;"), [(1, "io".to_owned())]);
    assert_eq!(refused("lib.rs", "pub use crate::service::Pool;"), []);
    assert_eq!(refused("wire/mod.rs", "use super::io;"), [(1, "io".to_owned())]);
}
