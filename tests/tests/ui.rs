//! What the macros say about mistakes, word for word.
//!
//! Each file under `ui/` is a program with mistakes, next to what the compiler says about it. The
//! texts around ours are the compiler's, so they belong to one version of it. After a change,
//! `TRYBUILD=overwrite cargo test --test ui` writes them anew; read the difference.

#[test]
fn every_mistake_says_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
}
