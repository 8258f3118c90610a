//! A file that changes on its way.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use mitogen_service::{FileError, FileService};

use super::{Dir, SIZE};
use crate::bench::Bench;

/// Runs `change` when a part of a file has come, and gives what becomes of the transfer. The rest is read after
/// that, since it does not fit into what may be under way.
fn changed_on_the_way(change: impl FnOnce(&Path)) -> (Result<usize, FileError>, Dir) {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(4 * SIZE);
    let to = dir.path("to");
    fs::write(&to, "old").unwrap();
    let mut change = Some(change);
    let get = FileService::get(&child, &source, &to);
    let transferred = get
        .progress(|progress| {
            if progress.done > 0
                && let Some(change) = change.take()
            {
                change(&source);
            }
        })
        .run();
    let result = transferred.map(|transferred| {
        assert!(fs::read(&to).unwrap() == bytes);
        usize::from(transferred.has_grown)
    });
    if result.is_err() {
        assert_eq!(fs::read(&to).unwrap(), b"old");
    }
    (result, dir)
}

fn open(path: &Path) -> fs::File {
    fs::File::options().write(true).open(path).unwrap()
}

#[test]
fn a_file_that_is_truncated_on_its_way_is_told_apart() {
    let (result, dir) = changed_on_the_way(|source| open(source).set_len(3 * SIZE as u64).unwrap());
    let Err(FileError::Truncated { expected, received, .. }) = &result else { panic!("{result:?}") };
    assert_eq!((*expected, *received), (4 * SIZE as u64, 3 * SIZE as u64));
    assert_eq!(dir.names(), ["source", "to"]);
}

#[test]
fn a_file_that_grows_on_its_way_comes_as_it_was() {
    let (result, _) = changed_on_the_way(|source| open(source).write_all_at(b"more", 4 * SIZE as u64).unwrap());
    assert_eq!(result, Ok(1));
}

#[test]
fn a_file_that_is_written_to_on_its_way_is_told_apart() {
    let (result, dir) = changed_on_the_way(|source| {
        let file = open(source);
        file.write_all_at(b"new", 4 * SIZE as u64 - 3).unwrap();
        // The clock of files may be coarse.
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    });
    assert!(matches!(result, Err(FileError::Changed { .. })), "{result:?}");
    assert_eq!(dir.names(), ["source", "to"]);
}

#[test]
fn a_file_that_is_replaced_on_its_way_comes_as_it_was() {
    let (result, _) = changed_on_the_way(|source| {
        let new = source.with_file_name("new");
        fs::write(&new, "new").unwrap();
        fs::rename(new, source).unwrap();
    });
    assert_eq!(result, Ok(0));
}
