//! A disk that is full.

use std::fs;
use std::io;
use std::path::Path;

use mitogen_service::FileService;

use super::{Dir, SIZE};
use crate::bench::Bench;

/// Runs a test in a copy of this process that has a small file system of its own, if that can be had, which is the
/// place for temporary files if `is_for_temporary`.
pub(crate) fn with_a_small_disk(test: &str, is_for_temporary: bool, body: impl Fn(&Path)) {
    const DISK: &str = "MITOGEN_SERVICE_TEST_DISK";
    if let Some(disk) = std::env::var_os(DISK) {
        return body(Path::new(&disk));
    }
    let dir = Dir::new();
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let mut copy = std::process::Command::new("unshare");
    copy.args(["-m", "sh", "-c", script, "sh"]).arg(dir.0.path()).arg(std::env::current_exe().unwrap());
    copy.args(["--exact", test, "--nocapture"]).env(DISK, dir.0.path()).stdin(std::process::Stdio::null());
    if is_for_temporary {
        copy.env("TMPDIR", dir.0.path());
    }
    let output = copy.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        return eprintln!("skipped: nothing can be mounted here");
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_disk_that_is_full_leaves_the_old_file_and_nothing_else() {
    with_a_small_disk("files::disk::a_disk_that_is_full_leaves_the_old_file_and_nothing_else", false, |disk| {
        let bench = Bench::new();
        let child = bench.child("child");
        let (_dir, source, _) = Dir::with(SIZE);
        let to = disk.join("to");
        fs::write(&to, "old").unwrap();
        for put in [false, true] {
            let result = if put {
                FileService::put(&child, &source, &to).run()
            } else {
                FileService::get(&child, &source, &to).run()
            };
            let error = result.unwrap_err();
            assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull), "{error:?}");
            assert_eq!(fs::read(&to).unwrap(), b"old");
            assert_eq!(fs::read_dir(disk).unwrap().count(), 1);
        }
        // The same service goes on.
        FileService::get(&child, &source, &mut io::sink()).run().unwrap();
        FileService::put(&child, "/etc/passwd", &to).run().unwrap();
    });
}
