//! What comes, and what is taken: all sizes, all names, with what belongs to a file.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use mitogen_service::{CallError, FileError, FileHash, FileService};
use mitogen_service_tests::LONG;

use super::{Dir, SIZE, below};
use crate::bench::Bench;
use crate::file_service_test::{Fetcher, Server};

#[test]
fn files_of_all_sizes_come_from_children_with_nothing_set_up() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    for size in [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1024 * 1024, SIZE] {
        let (dir, source, bytes) = Dir::with(size);
        for context in [&child, &grandchild, &bench.root()] {
            if *context == bench.root() {
                let _ = bench.pool.add(FileService::new());
            }
            let mut got = Vec::new();
            let transferred = FileService::get(context, &source, &mut got).run().unwrap();
            assert!(got == bytes, "{context}: {size}");
            assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
            let to = dir.path("to");
            let transferred = FileService::get(context, &source, &to).verify(false).run().unwrap();
            assert_eq!(transferred.hash, None);
            assert!(fs::read(&to).unwrap() == bytes, "{context}: {size}");
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
}

#[test]
fn files_are_taken_to_children() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    for size in [0, 1, SIZE] {
        let (dir, source, bytes) = Dir::with(size);
        for context in [&child, &grandchild] {
            let to = dir.path("to");
            let mut told = Vec::new();
            let put = FileService::put(context, &source, &to).progress(|progress| told.push(progress.done));
            let transferred = put.run().unwrap();
            assert!(fs::read(&to).unwrap() == bytes);
            assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
            assert!(told.is_sorted() && told.last() == Some(&(size as u64)), "{told:?}");
            FileService::put(context, &source, &to).verify(false).fsync(true).run().unwrap();
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
}

#[test]
fn only_parents_take_files_anywhere_and_have_any_file() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(10);
    let register = Fetcher::stub(&server.child).register(server.bench.root(), dir.path(""));
    assert!(matches!(register.wait_timeout(LONG), Err(CallError::Unauthorized { .. })));
    server.assert_unregistered(source.to_str().unwrap());
    // A root does not make the service because a child asks.
    let bench = Bench::new();
    let child = bench.child("child");
    let fetched = Fetcher::stub(&child).fetch(bench.root(), source).wait_timeout(LONG);
    assert!(matches!(fetched, Err(CallError::NotActivated { .. })), "{fetched:?}");
}

#[test]
fn mode_owner_and_times_come_where_they_are_asked_for() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, _) = Dir::with(100);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&source, Some(12345), Some(54321)).unwrap();
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o4751)).unwrap();
    let then = std::time::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(&source).unwrap().set_modified(then).unwrap();
    for put in [false, true] {
        let (plain, same) = (dir.path("plain"), dir.path("same"));
        if put {
            FileService::put(&child, &source, &plain).run().unwrap();
            FileService::put(&child, &source, &same).mode(true).owner(true).times(true).run().unwrap();
        } else {
            FileService::get(&child, &source, &plain).run().unwrap();
            FileService::get(&child, &source, &same).mode(true).owner(true).times(true).run().unwrap();
        }
        let (source, plain, same) =
            (fs::metadata(&source).unwrap(), plain.metadata().unwrap(), same.metadata().unwrap());
        assert_eq!(plain.mode() & 0o7022, 0, "{:o}", plain.mode());
        assert_eq!(same.mode(), source.mode());
        assert_eq!((same.uid(), same.gid()), (source.uid(), source.gid()));
        assert_eq!(same.modified().unwrap(), then);
        assert_ne!(plain.modified().unwrap(), then);
    }
}

/// Whoever owns the copy has not said that others may act as they.
#[test]
fn set_user_id_and_set_group_id_come_with_their_owners_alone() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, _) = Dir::with(100);
    fs::set_permissions(&source, fs::Permissions::from_mode(0o7751)).unwrap();
    let top = dir.path("top");
    fs::create_dir(&top).unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o7751)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    for (owner, expected) in [(false, 0o1751), (true, 0o7751)] {
        let [put, got, put_dir, got_dir] = ["put", "got", "put-dir", "got-dir"].map(|name| dir.path(name));
        FileService::put(&child, &source, &put).mode(true).owner(owner).run().unwrap();
        FileService::get(&child, &source, &got).mode(true).owner(owner).run().unwrap();
        FileService::put_dir(&child, &top, &put_dir).mode(true).owner(owner).run().unwrap();
        FileService::get_dir(&child, &top, &got_dir).mode(true).owner(owner).run().unwrap();
        for path in [&put, &got, &put_dir, &got_dir] {
            assert_eq!(mode(path), expected, "{} {owner}", path.display());
        }
        [&put_dir, &got_dir].into_iter().for_each(|path| fs::remove_dir(path).unwrap());
    }
}

#[test]
fn a_path_that_is_no_text_and_a_long_name_are_as_good() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let child = bench.child("child");
    let dir = Dir::new();
    let odd = dir.0.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe\n"));
    let long = dir.path(&"x".repeat(255));
    fs::write(&odd, "odd").unwrap();
    FileService::get(&child, &odd, &long).run().unwrap();
    assert_eq!(fs::read(&long).unwrap(), b"odd");
    FileService::put(&child, &long, &odd).resume(true).run().unwrap();
    let missing = dir.0.path().join(std::ffi::OsStr::from_bytes(b"\xfe"));
    let error = FileService::get(&child, &missing, &mut io::sink()).run().unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::NotFound));
    assert!(matches!(error, FileError::Io { path, .. } if path == missing));
}
