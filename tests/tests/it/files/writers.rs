//! A writer that is slow, and one that fails.

use std::io;
use std::path::Path;

use mitogen_service::{Context, FileError, FileService};

use super::{Dir, SIZE};
use crate::bench::Bench;

#[test]
fn a_writer_that_fails_ends_the_transfer_with_its_error() {
    struct Broken(usize);
    impl io::Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("enough"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let child = bench.child("child");
    let (_dir, source, bytes) = Dir::with(4 * SIZE);
    for writes in [0, 1, 5] {
        let error = FileService::get(&child, &source, &mut Broken(writes)).run().unwrap_err();
        assert!(matches!(&error, FileError::Io { what, .. } if what == "enough"), "{error:?}");
    }
    let mut got = Vec::new();
    FileService::get(&child, &source, &mut got).run().unwrap();
    assert!(got == bytes);
}

#[test]
fn a_writer_that_waits_holds_back_what_is_sent_and_nobody_else() {
    /// Lets another transfer come to its end before it takes anything more.
    struct Slow<'a>(&'a Context, &'a Path, usize);
    impl io::Write for Slow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.2 == 0 {
                let mut other = Vec::new();
                FileService::get(self.0, self.1, &mut other).run().map_err(io::Error::other)?;
                assert_eq!(other.len(), 4 * SIZE);
            }
            self.2 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let child = bench.child("child");
    let (_dir, source, _) = Dir::with(4 * SIZE);
    let mut slow = Slow(&child, &source, 0);
    FileService::get(&child, &source, &mut slow).run().unwrap();
    assert_eq!(slow.2, 4 * SIZE);
}
