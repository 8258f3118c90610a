//! Files between contexts: whole or not at all, in their turn, and whoever ends.

use std::fs;
use std::path::PathBuf;

use mitogen_service::Context;
use mitogen_service_tests::LONG;
use tempfile::TempDir;

use crate::bench::Worker;

mod acknowledgements;
mod changing;
mod directories;
pub(crate) mod disk;
mod ends;
mod forged;
mod given_up;
mod memory;
mod refused;
mod resumed;
mod transfers;
mod turns;
mod writers;

/// Larger than what may be under way, and no multiple of anything.
const SIZE: usize = 5 * 1024 * 1024 + 4321;

/// Bytes of which no two parts are alike.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..size / 8 + 1).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(size);
    bytes
}

/// A directory with a file of this size.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(size: usize) -> (Self, PathBuf, Vec<u8>) {
        let (dir, bytes) = (Self::new(), noise(size));
        let source = dir.path("source");
        fs::write(&source, &bytes).unwrap();
        (dir, source, bytes)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn below(context: &Context, name: &str) -> Context {
    Worker::stub(context).start_child(name.to_owned()).wait_timeout(LONG).unwrap()
}
