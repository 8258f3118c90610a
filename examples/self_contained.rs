//! The whole idea in one program: files served by the root, a service started by a call in a child,
//! a sibling that is refused, and a crash that is survived.
//!
//! `cargo run --example self_contained`, or with its children on another host, which needs an account
//! there and nothing else: `cargo run --example self_contained -- --ssh HOST`
//!
//! Every claim that it prints is checked; if one does not hold the program ends with a failure.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, process};

use mitogen_service::{AllowAny, AllowParents, Blob, CallError, Context, Exit, Pool, Router, service};

/// Runs in the root. Whoever can reach the root may ask, so it gives out what is listed and no more.
struct Files {
    shared: Vec<PathBuf>,
}

#[service]
impl Files {
    /// Reads a whole file.
    #[expose(policy = AllowAny)]
    fn read_file(&self, path: &Path) -> io::Result<Blob> {
        if !self.shared.iter().any(|shared| shared == path) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "this file is not shared"));
        }
        Ok(fs::read(path)?.into())
    }
}

/// Runs in a child: `activate` lets the first call of a parent start it there.
#[derive(Default)]
struct Downloader;

#[service(activate)]
impl Downloader {
    /// Fetches files from another context, which may be the very one that calls.
    #[expose(policy = AllowParents)]
    fn download(&self, source: Context, paths: Vec<PathBuf>) -> Result<Vec<Blob>, CallError> {
        let files = Files::stub(&source);
        // All requests are under way before the first answer is waited for.
        let calls: Vec<_> = paths.iter().map(|path| files.read_file(path)).collect();
        calls.into_iter().map(|call| call.wait()).collect()
    }
}

/// Says who it is to anybody, and obeys only those above it in the tree.
#[derive(Default)]
struct Worker;

#[service(activate)]
impl Worker {
    #[expose(policy = AllowAny)]
    fn pid(&self) -> u32 {
        process::id()
    }

    #[expose(policy = AllowParents)]
    fn crash(&self) {
        eprintln!("the worker is about to abort");
        process::abort();
    }
}

/// Runs in the sibling, and tries there what only a parent may do.
#[derive(Default)]
struct Sibling;

#[service(activate)]
impl Sibling {
    #[expose(policy = AllowParents)]
    fn ask_pid(&self, of: Context) -> Result<u32, CallError> {
        Worker::stub(&of).pid().wait()
    }

    #[expose(policy = AllowParents)]
    fn try_to_crash(&self, whom: Context) -> Result<(), CallError> {
        Worker::stub(&whom).crash().wait()
    }
}

// A child is this same executable, started again; it never enters the body of `main`.
#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let shared = vec![PathBuf::from("/etc/passwd"), PathBuf::from("/etc/hosts")];
    let pool = Pool::builder(router).service(Files { shared: shared.clone() }).start()?;
    let place = Place::from_args()?;
    let worker = place.start(router, "worker")?;
    println!("this is process {}, the root; it has started a child, `{worker}`", process::id());

    files_travel(router, &worker, shared)?;
    a_sibling_is_no_parent(router, &place, &worker)?;
    a_crash_is_survived(router, &place, &worker)?;

    let running = pool.close(Duration::from_secs(5));
    assert!(running.is_empty(), "still running: {running:?}");
    println!("\nall of it happened as expected");
    Ok(())
}

/// Where the children run.
enum Place {
    Here,
    Host(String),
}

impl Place {
    fn from_args() -> Result<Self, String> {
        let args: Vec<_> = std::env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => Ok(Self::Here),
            ["--ssh", host] => Ok(Self::Host((*host).to_owned())),
            _ => Err("usage: self_contained [--ssh HOST]".to_owned()),
        }
    }

    fn start(&self, router: &Router, name: &str) -> mitogen_service::Result<Context> {
        match self {
            Self::Here => router.local().name(name).connect(),
            Self::Host(host) => router.ssh(host).name(name).connect(),
        }
    }
}

fn files_travel(router: &Router, worker: &Context, shared: Vec<PathBuf>) -> Result<(), Box<dyn std::error::Error>> {
    println!("\n1. The child downloads files from the root, which serves them");
    let downloader = Downloader::stub(worker);
    let contents = downloader.download(router.myself(), shared.clone()).wait()?;
    assert_eq!(contents.len(), shared.len());
    for (path, content) in shared.iter().zip(&contents) {
        assert_eq!(content[..], fs::read(path)?, "{} has changed on its way", path.display());
        println!("   {}: {} bytes came back, equal to the file", path.display(), content.len());
    }

    let refused = downloader.download(router.myself(), vec!["/etc/shadow".into()]).wait();
    let error = refused.expect_err("a file that is not shared must not be served");
    // The root's error went to the worker, whose method passed it on.
    assert_eq!(error.path(), ["worker", "root"]);
    println!("   /etc/shadow: {error} (the error came through {})", error.path().join(", "));
    Ok(())
}

fn a_sibling_is_no_parent(router: &Router, place: &Place, worker: &Context) -> Result<(), Box<dyn std::error::Error>> {
    println!("\n2. The root may start a service in a child, a sibling of the child may not");
    let sibling = place.start(router, "sibling")?;
    let calls = Sibling::stub(&sibling);

    let error = calls.ask_pid(worker.clone()).wait().expect_err("a sibling must not start services");
    assert!(matches!(error, CallError::NotActivated { .. }), "{error:?}");
    println!("   the sibling asks first: {error}");

    let pid = Worker::stub(worker).pid().wait()?;
    assert_ne!(pid, process::id(), "the service must run in the child");
    println!("   the root asks: the service starts in `{worker}`, which is process {pid}");

    assert_eq!(calls.ask_pid(worker.clone()).wait()?, pid);
    println!("   the sibling asks again: now it gets the answer, since the method allows anybody");

    let error = calls.try_to_crash(worker.clone()).wait().expect_err("a sibling must not crash the worker");
    assert!(matches!(error, CallError::Unauthorized { .. }), "{error:?}");
    assert_eq!(Worker::stub(worker).pid().wait()?, pid, "the worker must be unharmed");
    println!("   the sibling calls what is for parents: {error}");
    Ok(())
}

fn a_crash_is_survived(router: &Router, place: &Place, worker: &Context) -> Result<(), Box<dyn std::error::Error>> {
    println!("\n3. A child crashes in the middle of a call");
    let error = Worker::stub(worker).crash().wait().expect_err("a process that has aborted cannot answer");
    let CallError::Dead { exit: Some(exit), stderr_tail, .. } = &error else {
        return Err(error.into());
    };
    match place {
        Place::Here => assert_eq!(exit.signal_name(), Some("SIGABRT")),
        // What is seen from here is ssh, which says so that the command was killed.
        Place::Host(_) => assert_eq!(*exit, Exit::Code { code: 255 }),
    }
    assert!(stderr_tail.contains("about to abort"), "{stderr_tail:?}");
    assert!(!worker.is_connected());
    println!("   {}", error.to_string().replace('\n', "\n   | "));

    let next = place.start(router, "worker")?;
    println!("   the root goes on with a new child, process {}", Worker::stub(&next).pid().wait()?);
    Ok(())
}
