//! Where the bytes of `bulk` end: fetched, counted, thrown away.

use std::io::{self, Write};
use std::path::PathBuf;

use mitogen_service::{AllowParents, Context, FileError, FileService, service};

#[derive(Default)]
pub(crate) struct Sink;

#[service(activate)]
impl Sink {
    /// Fetches so many bytes of a file, and tells how many have come.
    #[expose(policy = AllowParents)]
    fn fetch(&self, from: Context, path: PathBuf, bytes: u64) -> Result<u64, FileError> {
        let mut counter = Counter { taken: 0, wanted: bytes };
        let fetched = FileService::get(&from, path, &mut counter).verify(false).run();
        // A file that has more of them is given up there.
        if counter.taken < bytes {
            fetched?;
        }
        Ok(counter.taken)
    }
}

/// Throws bytes away, and takes no more than are wanted.
struct Counter {
    taken: u64,
    wanted: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = usize::try_from(self.wanted - self.taken).unwrap_or(usize::MAX);
        let taken = bytes.len().min(left);
        self.taken += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
