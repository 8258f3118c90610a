//! What must not lead out of a directory, tried both ways: by the kernel, and component by component.

use std::ffi::OsStr;
use std::fs::{create_dir, create_dir_all, rename, write};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rustix::fs::FileType;
use tempfile::TempDir;

use super::*;

const INSIDE: &str = "inside";
const SECRET: &str = "secret";

/// A directory `top` with files, beside a file that lies outside of it.
struct Tree {
    dir: TempDir,
    top: Directory,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        create_dir_all(path("top/a/b")).unwrap();
        create_dir(path("outside")).unwrap();
        write(path("outside/file"), SECRET).unwrap();
        for name in ["top/file", "top/a/file", "top/a/b/file"] {
            write(path(name), INSIDE).unwrap();
        }
        symlink("../outside/file", path("top/to-file")).unwrap();
        symlink(path("outside/file"), path("top/absolute")).unwrap();
        symlink(path("top/file"), path("top/absolute-inside")).unwrap();
        symlink("../../outside", path("top/a/to-dir")).unwrap();
        symlink("..", path("top/up")).unwrap();
        symlink("/", path("top/root")).unwrap();
        symlink("/proc/self/root", path("top/magic")).unwrap();
        symlink("/proc/self/cwd", path("top/cwd")).unwrap();
        symlink("loop", path("top/loop")).unwrap();
        symlink("a/b/file", path("top/within")).unwrap();
        symlink("a", path("top/dir-within")).unwrap();
        let top = Directory::open(&path("top")).unwrap();
        Self { dir, top }
    }

    fn ways(&self, name: &Path) -> [(&'static str, Result<OwnedFd, Errno>); 2] {
        [("kernel", self.top.by_kernel(name)), ("walk", walk(self.top.0.as_fd(), name))]
    }
}

fn contents(file: OwnedFd) -> String {
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_lies_beneath_is_opened() {
    let tree = Tree::new();
    for name in ["file", "a/file", "./a/./b//file", "a/../file", "a/b/../../a/file", "a/b/.././b/file"] {
        for (way, opened) in tree.ways(Path::new(name)) {
            assert_eq!(contents(opened.unwrap_or_else(|error| panic!("{way}: {name}: {error}"))), INSIDE);
        }
    }
}

#[test]
fn nothing_leads_out() {
    let tree = Tree::new();
    let names = [
        "..",
        "../outside/file",
        "a/../../outside/file",
        "a/b/../../../outside/file",
        "../top/file",
        "to-file",
        "absolute",
        "absolute-inside",
        "a/to-dir/file",
        "up/outside/file",
        "up/top/file",
        "root/etc/passwd",
        "magic/etc/passwd",
        "cwd/Cargo.toml",
        "loop",
        "loop/file",
        "dir-within/../../outside/file",
        "/etc/passwd",
        "/",
    ];
    for name in names {
        for (way, opened) in tree.ways(Path::new(name)) {
            let error = opened.map(contents).unwrap_err();
            assert!(matches!(error, Errno::XDEV | Errno::LOOP), "{way}: {name}: {error}");
        }
    }
}

#[test]
fn links_within_are_followed_by_the_kernel_alone() {
    let tree = Tree::new();
    for name in ["within", "dir-within/file", "dir-within/b/file"] {
        let [(_, kernel), (_, walked)] = tree.ways(Path::new(name));
        assert_eq!(contents(kernel.unwrap()), INSIDE);
        assert_eq!(walked.unwrap_err(), Errno::LOOP, "{name}");
    }
}

#[test]
fn hard_cases_are_plain_errors() {
    let tree = Tree::new();
    let long = "x".repeat(256);
    let deep = "a/".repeat(3000);
    let cases: [(&[u8], &[Errno]); 8] = [
        (b"", &[Errno::NOENT]),
        (b"missing", &[Errno::NOENT]),
        (b"file/", &[Errno::NOTDIR]),
        (b"file/more", &[Errno::NOTDIR]),
        (b"nul\0byte", &[Errno::INVAL]),
        (b"\xff\xfe", &[Errno::NOENT]),
        (long.as_bytes(), &[Errno::NAMETOOLONG]),
        (deep.as_bytes(), &[Errno::NAMETOOLONG]),
    ];
    for (name, errors) in cases {
        for (way, opened) in tree.ways(Path::new(OsStr::from_bytes(name))) {
            let error = opened.unwrap_err();
            assert!(errors.contains(&error), "{way}: {}: {error}", String::from_utf8_lossy(name));
        }
    }
    std::fs::write(tree.dir.path().join("top").join(OsStr::from_bytes(b"\xff\xfe")), INSIDE).unwrap();
    for (_, opened) in tree.ways(Path::new(OsStr::from_bytes(b"\xff\xfe"))) {
        assert_eq!(contents(opened.unwrap()), INSIDE);
    }
}

#[test]
fn what_is_no_file_is_opened_without_waiting_and_told_apart() {
    let tree = Tree::new();
    let fifo = tree.dir.path().join("top/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    for name in ["fifo", ".", "a", "a/", "a/b/..", "a/."] {
        for (way, opened) in tree.ways(Path::new(name)) {
            let stat = rustix::fs::fstat(opened.unwrap()).unwrap();
            assert!(!FileType::from_raw_mode(stat.st_mode).is_file(), "{way}: {name}");
        }
    }
    let socket = tree.dir.path().join("top/socket");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    for (way, opened) in tree.ways(Path::new("socket")) {
        assert_eq!(opened.unwrap_err(), Errno::NXIO, "{way}");
    }
}

#[test]
fn the_links_of_proc_do_not_lead_out_of_proc() {
    let proc = Directory::open(Path::new("/proc")).unwrap();
    let own = std::fs::File::open("/etc/passwd").unwrap();
    use std::os::fd::AsRawFd;
    let names = ["self/root/etc/passwd".to_owned(), "self/cwd/Cargo.toml".into(), "self/exe".into(), {
        format!("self/fd/{}", own.as_raw_fd())
    }];
    for name in names {
        let name = name.replace("self", &std::process::id().to_string());
        for opened in [proc.by_kernel(Path::new(&name)), walk(proc.0.as_fd(), Path::new(&name))] {
            let error = opened.unwrap_err();
            assert!(matches!(error, Errno::XDEV | Errno::LOOP), "{name}: {error}");
        }
    }
}

#[test]
fn a_directory_is_the_same_one_whatever_its_name_comes_to_mean() {
    let tree = Tree::new();
    let path = |name: &str| tree.dir.path().join(name);
    rename(path("top"), path("was-top")).unwrap();
    symlink(path("outside"), path("top")).unwrap();
    for (_, opened) in tree.ways(Path::new("file")) {
        assert_eq!(contents(opened.unwrap()), INSIDE);
    }
}

/// A directory on the way is moved out, and comes back, again and again: `..` behind it must never be followed
/// to where it was moved.
#[test]
fn renaming_at_the_right_moment_does_not_help() {
    let tree = Tree::new();
    let path = |name: &str| tree.dir.path().join(name);
    let (inside, outside) = (path("top/a/b"), path("outside/b"));
    // Where `b/../../file` would lead from there.
    write(path("file"), SECRET).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                rename(&inside, &outside).unwrap();
                rename(&outside, &inside).unwrap();
            }
        });
        for _ in 0..3000 {
            for name in ["a/b/../file", "a/b/../../file", "a/b/../../outside/file"] {
                for (way, opened) in tree.ways(Path::new(name)) {
                    if let Ok(file) = opened {
                        assert_eq!(contents(file), INSIDE, "{way}: {name}");
                    }
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A name made of pieces of which some lead somewhere.
fn any_name() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "file",
        "..",
        ".",
        "",
        "to-file",
        "to-dir",
        "up",
        "root",
        "magic",
        "cwd",
        "loop",
        "within",
        "etc",
        "passwd",
        "outside",
        "top",
        "absolute",
        "dir-within",
        "proc",
        "self",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..8).prop_map(|pieces| pieces.join("/"))
}

proptest! {
    #[test]
    fn no_name_leads_out(names in proptest::collection::vec(any_name(), 64)) {
        let tree = Tree::new();
        for name in names {
            let [(_, kernel), (_, walked)] = tree.ways(Path::new(&name));
            for file in [kernel, walked].into_iter().flatten() {
                let stat = rustix::fs::fstat(&file).unwrap();
                if FileType::from_raw_mode(stat.st_mode).is_file() {
                    prop_assert_eq!(contents(file), INSIDE, "{}", name);
                } else {
                    let real = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
                    let top = tree.dir.path().canonicalize().unwrap().join("top");
                    prop_assert!(real.unwrap().starts_with(top), "{}", name);
                }
            }
        }
    }
}
