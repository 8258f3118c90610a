//! Unsafe code stands in one file, and each place says why it is sound.
//!
//! The crate cannot `forbid` it because of that one file; what the lint `deny` allows, an `allow`
//! anywhere, is refused here. The attributes that the linker obeys count as unsafe: `linkme` writes
//! them for us, elsewhere.
#![forbid(unsafe_code)]

mod sources;

use std::fs;

use sources::{source_root, sources, tokens};

/// The one file, below `src`.
const UNSAFE: &str = "sys.rs";

/// The lines on which the word stands as code.
fn unsafe_lines(text: &str) -> Vec<usize> {
    tokens(text).into_iter().filter(|(_, token)| *token == "unsafe").map(|(line, _)| line).collect()
}

/// Those of them that no comment explains: attributes and other comments may stand between.
fn unexplained(text: &str) -> Vec<usize> {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let explained = |line: usize| {
        let above = lines[..line - 1].iter().rev();
        let mut above = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        above.any(|line| line.starts_with("// SAFETY: "))
    };
    unsafe_lines(text).into_iter().filter(|line| !explained(*line)).collect()
}

#[test]
fn unsafe_code_stands_in_one_file_alone() {
    let root = source_root();
    let mut with_unsafe = Vec::new();
    for file in sources(&root) {
        if !unsafe_lines(&fs::read_to_string(&file).unwrap()).is_empty() {
            with_unsafe.push(file.strip_prefix(&root).unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(with_unsafe, [UNSAFE]);
}

#[test]
fn each_unsafe_place_says_why_it_is_sound() {
    let text = fs::read_to_string(source_root().join(UNSAFE)).unwrap();
    assert_eq!(unexplained(&text), Vec::<usize>::new(), "lines of {UNSAFE}");
}

#[test]
fn a_place_without_its_reason_is_found() {
    let text = "\
//! No unsafe here, nor in \"unsafe\".
#![allow(unsafe_code)]
const TEXT: &str = \"unsafe\";
fn one() {
    // SAFETY: a reason
    // of two lines.
    unsafe { f() }
    unsafe { g() }
}
// SAFETY: an attribute stands between.
#[used]
#[unsafe(no_mangle)]
static A: u8 = 0;

// SAFETY: too far away.

unsafe impl Send for T {}
";
    assert_eq!(unsafe_lines(text), [7, 8, 12, 17]);
    assert_eq!(unexplained(text), [8, 17]);
}
