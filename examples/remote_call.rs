//! Calling a function in another process: a child downloads files from the root that has started it.
//!
//! `cargo run --example remote_call`
//!
//! Every claim that it prints is checked; if one does not hold the program ends with a failure.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, process};

use mitogen_service::{AllowAny, Blob, CallError, Context, Pool, Router, function, service};

/// Simple file server, for demonstration only.
struct FileService;

#[service]
impl FileService {
    /// Reads a whole file.
    #[expose(policy = AllowAny)]
    fn read_file(&self, path: &Path) -> io::Result<Blob> {
        println!("   process {} reads {}", process::id(), path.display());
        Ok(fs::read(path)?.into())
    }
}

/// What has become of a file.
type Downloaded = (PathBuf, usize);

/// Runs in the child: fetches files from another context, and tells their sizes.
#[function]
fn download_some_files(source: Context, paths: Vec<PathBuf>) -> Result<Vec<Downloaded>, CallError> {
    let files = FileService::stub(&source);
    let mut downloaded = Vec::new();
    for path in paths {
        let content = files.read_file(&path).wait()?;
        downloaded.push((path, content.len()));
    }
    Ok(downloaded)
}

/// Anything that a process knows can be asked in this way.
#[function]
fn process_id() -> u32 {
    process::id()
}

// A child is this same executable, started again; it never enters the body of `main`.
#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::builder(router).service(FileService).start()?;
    let child = router.local().name("worker").connect()?;
    let pid = child.call(process_id, ()).wait()?;
    assert_ne!(pid, process_id(), "called like any function, it runs here");
    println!("this is process {}, the root; it has started a child, process {pid}", process_id());

    println!("the child downloads files from the root:");
    let paths: Vec<PathBuf> = vec!["/etc/passwd".into(), "/etc/hosts".into()];
    let downloaded = child.call(download_some_files, (router.myself(), paths.clone())).wait()?;
    assert_eq!(downloaded.len(), paths.len());
    for ((path, size), expected) in downloaded.iter().zip(&paths) {
        assert_eq!(path, expected);
        assert_eq!(*size as u64, fs::metadata(path)?.len(), "{} has changed on its way", path.display());
        println!("   {}: {size} bytes came to the child", path.display());
    }

    let missing = child.call(download_some_files, (router.myself(), vec!["/no/such/file".into()])).wait();
    let error = missing.expect_err("a file that is not there cannot be read");
    assert_eq!(error.path(), ["worker", "root"]);
    println!("   {error} (the error came through {})", error.path().join(", "));

    let running = pool.close(Duration::from_secs(5));
    assert!(running.is_empty(), "still running: {running:?}");
    println!("all of it happened as expected");
    Ok(())
}
