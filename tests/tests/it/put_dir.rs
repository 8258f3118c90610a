//! Directories taken to other contexts: as a whole or not at all.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use mitogen_service::{
    AllowParents, Blob, CallError, Context, FileError, FileHash, FileService, Receiver, Router, Sender, StoreOptions,
    Stored, service,
};
use mitogen_service_tests::LONG;
use tempfile::TempDir;

use crate::bench::{Bench, Worker};

/// Larger than what may be under way, and no multiple of anything.
const SIZE: usize = 5 * 1024 * 1024 + 4321;

fn below(context: &Context, name: &str) -> Context {
    Worker::stub(context).start_child(name.to_owned()).wait_timeout(LONG).unwrap()
}

fn mkfifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}

/// Everything in a directory but FIFOs: its names, kinds, modes and contents.
fn contents_of(top: &Path) -> Vec<(PathBuf, u32, String)> {
    let (mut all, mut pending) = (Vec::new(), vec![top.to_owned()]);
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let what = if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if metadata.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if metadata.is_file() {
            FileHash::of(&fs::read(&path).unwrap()).to_string()
        } else {
            continue;
        };
        all.push((path.strip_prefix(top).unwrap().to_owned(), metadata.mode(), what));
    }
    all.sort();
    all
}

fn names(dir: &TempDir) -> Vec<String> {
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn directories_go_with_all_that_is_in_them() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir_all(top.join("a/b/c")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    for number in 0..300 {
        fs::write(top.join(format!("a/{number}")), vec![number as u8; number * 100]).unwrap();
    }
    fs::write(top.join("a/b/large"), vec![7; SIZE]).unwrap();
    fs::write(top.join("a/b/c/x"), "x").unwrap();
    fs::write(top.join(std::ffi::OsStr::from_bytes(b"a/b/\xff\n")), "odd").unwrap();
    symlink("/etc/shadow", top.join("a/link")).unwrap();
    symlink("a", top.join("to-a")).unwrap();
    mkfifo(&top.join("fifo"));
    fs::set_permissions(top.join("a/b/large"), fs::Permissions::from_mode(0o1640)).unwrap();
    // Nothing could be put into it, had it its mode from the first.
    fs::set_permissions(top.join("a/b/c"), fs::Permissions::from_mode(0o555)).unwrap();
    let then = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(top.join("a/b")).unwrap().set_modified(then).unwrap();
    let expected = contents_of(&top);
    for (number, context) in [&child, &grandchild].into_iter().enumerate() {
        let to = dir.path().join(format!("to{number}"));
        let mut told = Vec::new();
        let put = FileService::put_dir(context, &top, &to).mode(true).times(true).fsync(number == 1);
        let put = put.verify(number == 0).progress(|transferred| told.push(transferred.files));
        let transferred = put.run().unwrap();
        assert_eq!((transferred.files, transferred.directories, transferred.links), (303, 5, 2));
        assert_eq!(transferred.left_out, 1);
        assert_eq!(transferred.bytes, (0..300).sum::<u64>() * 100 + SIZE as u64 + 4);
        assert_eq!(told, (1..=303).collect::<Vec<_>>());
        assert_eq!(contents_of(&to), expected);
        assert_eq!(fs::metadata(to.join("a/b")).unwrap().modified().unwrap(), then);
        // What is there is not touched.
        let error = FileService::put_dir(context, &top, &to).run().unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists));
    }
    // Without being told so it gets no more than a copy does.
    FileService::put_dir(&child, top.join("a/b"), dir.path().join("plain")).run().unwrap();
    let plain = fs::metadata(dir.path().join("plain/large")).unwrap();
    assert_eq!(plain.mode() & 0o7777, 0o640);
    assert_ne!(fs::metadata(dir.path().join("plain")).unwrap().modified().unwrap(), then);
    assert_eq!(names(&dir), ["plain", "to0", "to1", "top"]);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason_and_leaves_nothing() {
    let bench = Bench::new();
    let child = bench.child("child");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("top")).unwrap();
    fs::write(path("file"), "x").unwrap();
    let kind = |from: &str, to: &str| FileService::put_dir(&child, path(from), path(to)).run().unwrap_err().io_kind();
    assert_eq!(kind("missing", "to"), Some(io::ErrorKind::NotFound));
    assert_eq!(kind("file", "to"), Some(io::ErrorKind::NotADirectory));
    assert_eq!(kind("top", "missing/to"), Some(io::ErrorKind::NotFound));
    assert_eq!(kind("top", "file"), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(kind("top", "file/to"), Some(io::ErrorKind::NotADirectory));
    let error = FileService::put_dir(&child, path("top"), "/").run().unwrap_err();
    assert!(matches!(error, FileError::Invalid { .. }), "{error:?}");
    assert_eq!(names(&dir), ["file", "top"]);
}

#[test]
fn a_destination_that_comes_to_be_there_meanwhile_stays() {
    let bench = Bench::new();
    let child = bench.child("child");
    let dir = tempfile::tempdir().unwrap();
    let (top, to) = (dir.path().join("top"), dir.path().join("to"));
    fs::create_dir(&top).unwrap();
    fs::write(top.join("file"), "x").unwrap();
    let put = FileService::put_dir(&child, &top, &to);
    let error = put.progress(|_| fs::write(&to, "theirs").unwrap()).run().unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists), "{error:?}");
    assert_eq!(fs::read(&to).unwrap(), b"theirs");
    assert_eq!(names(&dir), ["to", "top"]);
}

/// Takes what comes of a directory, and cuts a file short when that has begun to come.
struct Cutting(PathBuf);

#[service(name = "mitogen.service.FileService")]
impl Cutting {
    #[expose(policy = AllowParents)]
    fn store_dir(
        &self,
        path: PathBuf,
        options: StoreOptions,
        ready: Sender<Stored>,
        router: &Router,
    ) -> Result<(), CallError> {
        drop((path, options));
        let receiver: Receiver<Blob> = router.receiver();
        ready.send(Stored { data: receiver.sender(), known: 0, known_hash: None })?;
        // The directory, the file, and where its bytes begin: so it is open, and more of it than may be under way is
        // not read.
        (0..3).try_for_each(|_| receiver.recv().map(drop))?;
        fs::File::options().write(true).open(&self.0).unwrap().set_len(1).unwrap();
        receiver.iter().for_each(drop);
        Ok(())
    }
}

#[test]
fn a_file_that_fails_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, vec![7; SIZE]).unwrap();
    let (parent, child) = mitogen_service::testing::pair();
    let pool = mitogen_service::Pool::builder(&child).service(Cutting(file)).start().unwrap();
    let mut told = Vec::new();
    let put = FileService::put_dir(&parent.children()[0], dir.path(), "/whatever");
    let error = put.progress(|transferred| told.push(transferred.clone())).run().unwrap_err();
    assert!(matches!(error, FileError::Truncated { .. }), "{error:?}");
    assert!(told.is_empty(), "{told:?}");
    pool.close(LONG);
}

/// Whoever is refused learns of it, and does not wait for what will never come.
#[test]
fn only_parents_put_files_and_have_directories() {
    let bench = Bench::new();
    bench.pool.add(FileService::new()).unwrap();
    let child = bench.child("child");
    let dir = tempfile::tempdir().unwrap();
    for what in ["put", "put_dir", "get_dir"] {
        let call = Climber::stub(&child).climb(bench.root(), what.to_owned(), dir.path().join("to"));
        let error = FileError::from(call.wait_timeout(LONG).unwrap_err());
        assert!(matches!(error, FileError::Call(CallError::Unauthorized { .. })), "{what}: {error:?}");
    }
    assert!(names(&dir).is_empty());
}

/// Takes something upward.
#[derive(Default)]
struct Climber;

#[service(activate)]
impl Climber {
    #[expose(policy = AllowParents)]
    fn climb(&self, at: Context, what: String, to: PathBuf) -> Result<(), FileError> {
        match what.as_str() {
            "put" => FileService::put(&at, "/etc/passwd", to).run().map(drop),
            "put_dir" => FileService::put_dir(&at, "/etc/init.d", to).run().map(drop),
            _ => FileService::get_dir(&at, "/etc/init.d", to).run().map(drop),
        }
    }
}

#[test]
fn who_says_what_makes_no_sense_has_nothing_written() {
    let bench = Bench::new();
    let child = bench.child("child");
    let dir = tempfile::tempdir().unwrap();
    let metadata = FileService::get(&child, "/etc/passwd", &mut io::sink()).run().unwrap().metadata;
    let directory = |path: &str| Part::Directory { path: path.into(), metadata: metadata.clone() };
    let file = |path: &str| Part::File { path: path.into(), metadata: metadata.clone() };
    let link = |path: &str| Part::Link { path: path.into(), target: dir.path().to_str().unwrap().into() };
    let cases: [Vec<Part>; 12] = [
        vec![],
        vec![directory("")],
        vec![directory(""), directory("../x"), Part::End],
        vec![directory(""), directory("/x"), Part::End],
        vec![directory(""), directory("not-there/x"), Part::End],
        vec![directory(""), link(".."), Part::End],
        vec![directory(""), link("l"), directory("l/x"), Part::End],
        vec![directory(""), link("l"), file("l/x"), Part::End],
        vec![directory(""), file("../x"), Part::End],
        vec![directory(""), file(""), Part::End],
        vec![directory(""), file("x"), Part::End],
        vec![directory(""), directory("x"), directory("x"), Part::End],
    ];
    let store = |parts: &[Part]| {
        let ready = bench.router.receiver::<Stored>().from(&child);
        let options = StoreOptions::default();
        let call = FileService::stub(&child).store_dir(dir.path().join("to"), options, ready.sender());
        let Stored { data, .. } = ready.recv_timeout(LONG).unwrap();
        // It may have had enough before the last one.
        let _ = parts.iter().try_for_each(|part| data.send(Blob::from(rmp_serde::to_vec_named(part).unwrap())));
        data.close();
        call.wait_timeout(LONG)
    };
    for parts in cases {
        let error = FileError::from(store(&parts).unwrap_err());
        assert!(!matches!(error, FileError::Call(CallError::Dead { .. })), "{parts:?}: {error:?}");
        assert!(names(&dir).is_empty(), "{parts:?}: {:?}", names(&dir));
    }
    assert!(!Path::new("/x").exists());
    // It is what they say that is refused, and not how it is written.
    store(&[directory(""), directory("x"), link("x/l"), Part::End]).unwrap();
    assert!(dir.path().join("to/x/l").is_symlink());
}

/// What is sent of a directory, as the protocol has it.
#[derive(Debug, serde::Serialize)]
enum Part {
    Directory { path: Blob, metadata: mitogen_service::FileMetadata },
    Link { path: Blob, target: Blob },
    File { path: Blob, metadata: mitogen_service::FileMetadata },
    End,
}
