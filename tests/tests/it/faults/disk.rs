//! A disk that is full at every part of a file: the old one stays, and nothing else is left.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use mitogen_service_tests::{Holdings, LONG, within};

use super::transfers::{GET, GET_BY_A_CHILD, GET_DIR, PUSH, PUT, PUT_DIR, Transfer};
use super::{Destination, Stage};
use crate::files::disk::with_a_small_disk;

/// How much more room there is each time: half of what a message takes with it.
const STEP: u64 = 64 * 1024;

/// Runs a transfer to a disk with a little more room each time, until there is enough.
fn with_room_for_every_part(test: &str, transfer: &'static Transfer, is_for_temporary: bool) {
    with_a_small_disk(test, is_for_temporary, |disk| {
        let disk = disk.to_owned();
        within(3 * LONG, move || fill(&disk, transfer));
    });
}

fn fill(disk: &Path, transfer: &Transfer) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let stage = Stage::new(dir.path());
    let ballast = disk.join("ballast");
    let room = || {
        let disk = rustix::fs::statvfs(disk).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    let all = room();
    let (mut failures, mut before) = (0, None);
    loop {
        let to = Destination::new_on(disk, &stage.dir, transfer.what, failures);
        // As much as leaves so many steps.
        let wanted = (failures as u64 + 1) * STEP;
        assert!(wanted < all, "it has failed {failures} times");
        fs::write(&ballast, vec![0; usize::try_from(room().saturating_sub(wanted)).unwrap()]).unwrap();
        let result = (transfer.run)(&stage, &stage.other, &to.path());
        assert!(to.others().is_empty(), "{failures}: {result:?}, {:?}", to.others());
        fs::remove_file(&ballast).unwrap();
        let Err(error) = result else {
            assert!(to.is_whole());
            break;
        };
        assert_eq!(error.io_kind(), Some(ErrorKind::StorageFull), "{failures}: {error:?}");
        assert!(to.is_as_before(), "{failures}: {error:?}");
        failures += 1;
        // What is held from the first failure on.
        before.get_or_insert_with(Holdings::of_this_process);
    }
    assert_eq!(Holdings::added_since(&before.unwrap_or_default()).threads, BTreeSet::new());
    assert_eq!(stage.files.transfers(), 0);
    println!("{}: it has failed {failures} times", transfer.name);
    assert!(failures > 3, "it has failed {failures} times");
}

#[test]
fn get() {
    with_room_for_every_part("faults::disk::get", &GET, false);
}

#[test]
fn get_by_a_child() {
    with_room_for_every_part("faults::disk::get_by_a_child", &GET_BY_A_CHILD, false);
}

#[test]
fn put() {
    with_room_for_every_part("faults::disk::put", &PUT, false);
}

#[test]
fn get_dir() {
    with_room_for_every_part("faults::disk::get_dir", &GET_DIR, false);
}

#[test]
fn put_dir() {
    with_room_for_every_part("faults::disk::put_dir", &PUT_DIR, false);
}

#[test]
fn push() {
    with_room_for_every_part("faults::disk::push", &PUSH, true);
}
