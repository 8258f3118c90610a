//! What does not come, and where nothing can go.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use mitogen_service::{FileError, FileService};

use super::Dir;
use crate::bench::Bench;
use crate::file_service_test::Server;

#[test]
fn what_is_no_file_is_refused_at_once_and_keeps_nobody() {
    let server = Server::new();
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let socket = dir.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    server.files.register_prefix("/dev".into()).unwrap();
    // More of them than the pool has threads.
    for _ in 0..5 {
        for path in [&fifo, &socket, dir.0.path(), Path::new("/dev/null"), Path::new("/dev/zero")] {
            let error = server.fetch(path).unwrap_err();
            assert_eq!(error.to_string(), format!("'{}' is not a regular file.", path.display()));
        }
    }
}

#[test]
fn nothing_leads_out_of_a_prefix() {
    let server = Server::new();
    let dir = Dir::new();
    let path = |name: &str| dir.path(name);
    fs::create_dir_all(path("top/sub")).unwrap();
    fs::write(path("secret"), "secret").unwrap();
    fs::write(path("top/sub/file"), "inside").unwrap();
    symlink("../secret", path("top/link")).unwrap();
    symlink(path("secret"), path("top/absolute")).unwrap();
    symlink("..", path("top/up")).unwrap();
    symlink("/", path("top/root")).unwrap();
    symlink("/proc/self/root", path("top/magic")).unwrap();
    symlink(path("secret"), path("top/sub/not-yet")).unwrap();
    server.files.register_prefix(path("top")).unwrap();
    server.files.register_prefix("/proc".into()).unwrap();
    let root_pid = std::process::id();
    let out = [
        path("top/../secret"),
        path("top/link"),
        path("top/absolute"),
        path("top/up/secret"),
        path("top/sub/../../secret"),
        path(&format!("top/root/{}", path("secret").display())),
        path(&format!("top/magic/{}", path("secret").display())),
        path("top/sub/not-yet"),
        format!("/proc/self/root/{}", path("secret").display()).into(),
        format!("/proc/{root_pid}/root/{}", path("secret").display()).into(),
        format!("/proc/{root_pid}/cwd/Cargo.toml").into(),
        format!("/proc/{root_pid}/exe").into(),
        path("topp/secret"),
        path("top").with_file_name("secret"),
        "secret".into(),
        "".into(),
    ];
    for out in out {
        server.assert_unregistered(out.to_str().unwrap());
    }
    assert_eq!(server.fetch(path("top/sub/../sub/file")).unwrap().1, b"inside"[..]);
    // What is registered is the directory, and not its name.
    fs::rename(path("top"), path("was")).unwrap();
    symlink(dir.0.path(), path("top")).unwrap();
    assert!(server.fetch(path("top/secret")).is_err());
    assert_eq!(server.fetch(path("top/sub/file")).unwrap().1, b"inside"[..]);
    assert!(server.files.unregister(path("top")));
    server.assert_unregistered(path("top/sub/file").to_str().unwrap());
}

#[test]
fn a_path_that_is_registered_is_one_file_of_one_directory() {
    let server = Server::new();
    let (dir, source, bytes) = Dir::with(10);
    symlink(&source, dir.path("link")).unwrap();
    server.files.register(dir.path("link")).unwrap();
    server.files.register(dir.path("later")).unwrap();
    assert_eq!(server.fetch(dir.path("link")).unwrap().1, bytes);
    server.assert_unregistered(source.to_str().unwrap());
    assert_eq!(server.fetch(dir.path("later")).unwrap_err().io_kind(), Some(io::ErrorKind::NotFound));
    fs::write(dir.path("later"), "now").unwrap();
    assert_eq!(server.fetch(dir.path("later")).unwrap().1, b"now"[..]);
    // A link that comes later is not followed.
    fs::remove_file(dir.path("later")).unwrap();
    symlink("/etc/passwd", dir.path("later")).unwrap();
    server.assert_unregistered(dir.path("later").to_str().unwrap());
    assert!(server.files.unregister(dir.path("link")));
    assert!(!server.files.unregister(dir.path("link")));
    server.assert_unregistered(dir.path("link").to_str().unwrap());
}

#[test]
fn destinations_that_cannot_be_are_refused_before_anything_is_sent() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, _) = Dir::with(10);
    fs::create_dir(dir.path("dir")).unwrap();
    for to in [dir.path("dir"), dir.path("missing/file"), dir.path("dir/"), dir.path("source/file")] {
        FileService::get(&child, &source, &to).run().unwrap_err();
        FileService::put(&child, &source, &to).run().unwrap_err();
    }
    let error = FileService::get(&child, &source, &mut io::sink()).mode(true).run().unwrap_err();
    assert!(matches!(error, FileError::Invalid { .. }));
    assert_eq!(dir.names(), ["dir", "source"]);
    assert!(fs::read_dir(dir.path("dir")).unwrap().next().is_none());
}
