//! Going on where a transfer was cut off.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use mitogen_service::{Context, FileHash, FileService};
use mitogen_service_tests::{LONG, Watched};

use super::{Dir, SIZE, noise};
use crate::bench::{Bench, Worker};

#[test]
fn a_transfer_that_was_cut_off_goes_on() {
    let bench = Bench::new();
    let (dir, source, bytes) = Dir::with(4 * SIZE);
    let to = dir.path("to");
    for put in [false, true] {
        let child = bench.child("child");
        let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
        let run = |context: &Context, kill_at: u64| {
            let progress = |progress: &mitogen_service::Progress| {
                if progress.done >= kill_at {
                    process.kill();
                }
            };
            if put {
                FileService::put(context, &source, &to).resume(true).progress(progress).run()
            } else {
                FileService::get(context, &source, &to).resume(true).progress(progress).run()
            }
        };
        run(&child, 3 * SIZE as u64).unwrap_err();
        assert_eq!(dir.names(), [".to.mitogen-part", "source"]);
        let part = fs::metadata(dir.path(".to.mitogen-part")).unwrap();
        assert_eq!(part.mode() & 0o777, 0o600);
        let transferred = run(&bench.child("again"), u64::MAX).unwrap();
        assert_eq!(transferred.resumed_at, part.len());
        assert!(part.len() > SIZE as u64, "{}", part.len());
        assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
        assert!(fs::read(&to).unwrap() == bytes);
        assert_eq!(dir.names(), ["source", "to"]);
        fs::remove_file(&to).unwrap();
    }
}

#[test]
fn what_is_not_the_beginning_of_the_file_is_not_gone_on_from() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(SIZE);
    let (to, part) = (dir.path("to"), dir.path(".to.mitogen-part"));
    let mut other = bytes[..SIZE / 2].to_vec();
    other[1000] ^= 1;
    for beginning in [other, noise(SIZE + 1), vec![0; 2 * SIZE]] {
        for put in [false, true] {
            fs::write(&part, &beginning).unwrap();
            let transferred = if put {
                FileService::put(&child, &source, &to).resume(true).verify(false).run().unwrap()
            } else {
                FileService::get(&child, &source, &to).resume(true).run().unwrap()
            };
            assert_eq!(transferred.resumed_at, 0);
            assert!(fs::read(&to).unwrap() == bytes);
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
    // All of it is there already.
    fs::write(&part, &bytes).unwrap();
    assert_eq!(FileService::get(&child, &source, &to).resume(true).run().unwrap().resumed_at, SIZE as u64);
    // It may be another name of a file that is not to be touched, or a link to one.
    fs::hard_link(&source, &part).unwrap();
    FileService::get(&child, &source, &to).resume(true).run().unwrap_err();
    fs::remove_file(&part).unwrap();
    symlink(&source, &part).unwrap();
    FileService::get(&child, &source, &to).resume(true).run().unwrap_err();
    assert!(fs::read(&source).unwrap() == bytes);
}

#[test]
fn two_transfers_do_not_go_on_from_the_same_beginning() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(SIZE);
    let to = dir.path("to");
    let mut second = None;
    let first = FileService::get(&child, &source, &to).resume(true).progress(|_| {
        second.get_or_insert_with(|| FileService::get(&child, &source, &to).resume(true).run());
    });
    first.run().unwrap();
    let error = second.unwrap().unwrap_err();
    assert!(error.to_string().contains("is under way"), "{error}");
    assert!(fs::read(&to).unwrap() == bytes);
}
