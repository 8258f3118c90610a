//! The tests that the pages name are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The names of all functions of the sources.
fn functions() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["mitogen-service/src", "mitogen-service/tests", "mitogen-service-derive/src", "tests/tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let names = texts.flat_map(|text| {
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    names.collect()
}

#[test]
fn the_tests_that_the_pages_name_are_there() {
    let functions = functions();
    for page in ["docs/security.md", "docs/parity.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let mut named = 0;
        for code in text.split('`').skip(1).step_by(2) {
            let Some((_, name)) = code.rsplit_once("::") else { continue };
            let is_test = name.matches('_').count() > 2 && !code.contains([' ', '.']);
            if is_test {
                named += 1;
                assert!(functions.contains(name), "{page} names the test `{code}`, which is not there");
            }
        }
        assert!(named > 40, "only {named} tests were found in {page}");
    }
}
