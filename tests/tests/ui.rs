//! What the macros say about mistakes, word for word.
//!
//! Each file under `ui/` is a program with mistakes, next to what the compiler says about it. The
//! texts around ours are the compiler's, so they belong to one version of it: with another one the
//! test is skipped, except in CI, where it must pass. After a change, `TRYBUILD=overwrite cargo test
//! --test ui` writes them anew; read the difference.
#![forbid(unsafe_code)]

use std::process::Command;

/// The compiler whose words stand in the files.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn every_mistake_says_what_to_write_instead() {
    let compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    let compiler =
        String::from_utf8(compiler.expect("cargo runs with a compiler").stdout).expect("its version is a text");
    if !compiler.starts_with(COMPILER) && std::env::var_os("CI").is_none() {
        println!("skipped: the expected texts are those of {COMPILER}x, and this is {compiler}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
}
