//! Directories with all that is in them.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use mitogen_service::{AllowParents, CallError, FileError, FileHash, FileService, Listed, ListedKind, Sender, service};
use mitogen_service_tests::{LONG, Watched};

use super::{Dir, SIZE, below, noise};
use crate::bench::{Bench, Worker};

/// Everything in a directory: its names, kinds, modes and contents.
fn contents_of(top: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut pending = vec![top.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let what = if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if metadata.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else {
            FileHash::of(&fs::read(&path).unwrap()).to_string()
        };
        let mode = if metadata.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
        all.push(format!("{name} {mode:o} {what}"));
    }
    all.sort();
    all
}

#[test]
fn directories_come_with_all_that_is_in_them() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    let dir = Dir::new();
    let top = dir.path("top");
    fs::create_dir_all(top.join("a/b/c")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    for number in 0..40 {
        fs::write(top.join(format!("a/{number}")), noise(number * 1000)).unwrap();
    }
    fs::write(top.join("a/b/large"), noise(SIZE)).unwrap();
    fs::write(top.join("a/b/c/x"), "x").unwrap();
    symlink("/etc/shadow", top.join("a/link")).unwrap();
    symlink("a", top.join("to-a")).unwrap();
    let fifo = top.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fs::set_permissions(top.join("a/b/large"), fs::Permissions::from_mode(0o640)).unwrap();
    // Nothing could be put into it, had it its mode from the first.
    fs::set_permissions(top.join("a/b/c"), fs::Permissions::from_mode(0o555)).unwrap();
    for (number, context) in [&child, &grandchild].into_iter().enumerate() {
        let to = dir.path(&format!("to{number}"));
        let mut told = Vec::new();
        let get = FileService::get_dir(context, &top, &to).mode(true).times(true).fsync(number == 1);
        let transferred = get.progress(|transferred| told.push(transferred.files)).run().unwrap();
        assert_eq!((transferred.files, transferred.directories, transferred.links), (42, 5, 2));
        assert_eq!(transferred.left_out, 1);
        assert_eq!(told, (1..=42).collect::<Vec<_>>());
        let mut expected = contents_of_without_fifo(&top, &fifo);
        expected.sort();
        assert_eq!(contents_of(&to), expected);
        let time = |top: &Path| fs::metadata(top.join("a/b")).unwrap().modified().unwrap();
        assert_eq!(time(&to), time(&top));
        // What is there is not touched.
        let error = FileService::get_dir(context, &top, &to).run().unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists));
    }
    assert_eq!(dir.names(), ["to0", "to1", "top"]);
}

/// A FIFO cannot be read here without waiting.
fn contents_of_without_fifo(top: &Path, fifo: &Path) -> Vec<String> {
    fs::remove_file(fifo).unwrap();
    let contents = contents_of(top);
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    contents
}

#[test]
fn a_directory_that_is_cut_off_is_not_there() {
    let bench = Bench::new();
    let dir = Dir::new();
    let top = dir.path("top");
    fs::create_dir(&top).unwrap();
    for number in 0..30 {
        fs::write(top.join(number.to_string()), noise(100_000)).unwrap();
    }
    for at in [1, 2, 15, 29] {
        let child = bench.child("child");
        let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
        let get = FileService::get_dir(&child, &top, dir.path("to"));
        let error = get.progress(|transferred| {
            if transferred.files == at {
                process.kill();
            }
        });
        // What had come already when it was killed may have been all.
        match error.run() {
            Err(error) => {
                assert!(
                    matches!(error, FileError::Call(CallError::Dead { .. }) | FileError::Interrupted { .. }),
                    "{error}"
                );
                assert_eq!(dir.names(), ["top"]);
            }
            Ok(transferred) => {
                assert!(transferred.files == 30 && at > 15, "{transferred:?}");
                fs::remove_dir_all(dir.path("to")).unwrap();
            }
        }
    }
    let child = bench.child("child");
    for missing in [dir.path("missing"), top.join("1")] {
        FileService::get_dir(&child, missing, dir.path("to")).run().unwrap_err();
    }
    assert_eq!(dir.names(), ["top"]);
}

/// What is being put together would be found there, again and again.
#[test]
fn a_directory_does_not_go_into_itself() {
    let bench = Bench::new();
    let child = bench.child("child");
    let dir = Dir::new();
    let (top, below) = (dir.path("top"), dir.path("top/a/b"));
    fs::create_dir_all(&below).unwrap();
    fs::write(top.join("a/file"), "x").unwrap();
    let before = contents_of(&top);
    let refused = [
        FileService::put_dir(&child, &top, top.join("to")).run(),
        FileService::put_dir(&child, &top, below.join("to")).run(),
        FileService::get_dir(&child, &top, top.join("to")).run(),
        FileService::get_dir(&child, &top, below.join("to")).run(),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert!(matches!(&error, FileError::Invalid { what } if what.contains("outside of it")), "{error:?}");
    }
    // What was begun is removed before the answer.
    assert_eq!(contents_of(&top), before);
    FileService::put_dir(&child, top.join("a"), top.join("to")).run().unwrap();
}

/// A context that says what it likes of its directories.
struct Liar(Vec<(&'static [u8], ListedKind)>);

#[service(name = "mitogen.service.FileService")]
impl Liar {
    #[expose(policy = AllowParents)]
    fn list(&self, path: PathBuf, entries: Sender<Vec<Listed>>) -> Result<(), CallError> {
        drop(path);
        let listed = self.0.iter().map(|(path, kind)| Listed { path: (*path).into(), kind: kind.clone() });
        entries.send(listed.collect())?;
        entries.close();
        Ok(())
    }
}

#[test]
fn a_context_that_lies_about_its_directories_writes_nowhere_else() {
    let dir = Dir::new();
    let outside = dir.path("outside");
    fs::create_dir(&outside).unwrap();
    let link = || ListedKind::Link(outside.to_str().unwrap().into());
    let lies: [Vec<(&'static [u8], ListedKind)>; 8] = [
        vec![(b"../x", link())],
        vec![(b"a/../../x", link())],
        vec![(b"/tmp/mitogen-service-x", link())],
        vec![(b"..", link())],
        vec![(b"", link())],
        vec![(b"l", link()), (b"l/x", link())],
        vec![(b"nul\0", link())],
        vec![(b"not-there/x", link())],
    ];
    for lie in lies {
        let (parent, child) = mitogen_service::testing::pair();
        let pool = mitogen_service::Pool::builder(&child).service(Liar(lie)).start().unwrap();
        let error = FileService::get_dir(&parent.children()[0], "/whatever", dir.path("to")).run().unwrap_err();
        assert!(matches!(error, FileError::Malformed { .. } | FileError::Io { .. }), "{error:?}");
        assert_eq!(dir.names(), ["outside"]);
        assert!(fs::read_dir(&outside).unwrap().next().is_none());
        pool.close(LONG);
    }
}
