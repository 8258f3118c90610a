//! Mitogen's `file_service_test`.

use std::path::{Path, PathBuf};

use mitogen_service::{Blob, CallError, Context, FileError, FileMetadata, FileService, Router, service};
use mitogen_service_tests::LONG;

use crate::bench::Bench;

/// What a child does that wants files of another context.
#[derive(Default)]
pub(crate) struct Fetcher;

#[service(activate)]
impl Fetcher {
    /// The bytes of a file, and what is told of it.
    #[expose(policy = mitogen_service::AllowParents)]
    fn fetch(&self, from: Context, path: PathBuf) -> Result<(FileMetadata, Blob), CallError> {
        let mut bytes = Vec::new();
        let transferred = FileService::get(&from, path, &mut bytes).run()?;
        Ok((transferred.metadata, bytes.into()))
    }

    /// The same from a context of another one's choice, with the receiver of this one.
    #[expose(policy = mitogen_service::AllowParents)]
    fn fetch_for(&self, from: Context, path: PathBuf, to: mitogen_service::Sender<Blob>) -> Result<(), CallError> {
        FileService::stub(&from).fetch(path, to, Default::default()).wait().map(drop)
    }

    /// Says that bytes of a transfer were written.
    #[expose(policy = mitogen_service::AllowParents)]
    fn acknowledge(&self, at: Context, transfer: u64, size: i64) -> Result<(), CallError> {
        FileService::stub(&at).acknowledge(transfer, size).wait()
    }

    /// Asks to be let in.
    #[expose(policy = mitogen_service::AllowParents)]
    fn register(&self, at: Context, path: PathBuf, router: &Router) -> Result<(), CallError> {
        assert_ne!(at, router.myself());
        FileService::stub(&at).register_prefix(path).wait()
    }
}

/// A root with a file service, and a child that is no parent of it.
pub(crate) struct Server {
    pub(crate) bench: Bench,
    pub(crate) files: FileService,
    pub(crate) child: Context,
}

impl Server {
    pub(crate) fn new() -> Self {
        let bench = Bench::new();
        let files = FileService::new();
        bench.pool.add(files.clone()).unwrap();
        let child = bench.child("child");
        Self { bench, files, child }
    }

    pub(crate) fn fetch(&self, path: impl AsRef<Path>) -> Result<(FileMetadata, Blob), FileError> {
        let call = Fetcher::stub(&self.child).fetch(self.bench.root(), path.as_ref().to_owned());
        call.wait_timeout(LONG).map_err(FileError::from)
    }

    pub(crate) fn assert_unregistered(&self, path: &str) {
        let error = self.fetch(path).unwrap_err();
        assert_eq!(error.to_string(), format!("Path '{path}' is not registered with FileService."));
    }
}

fn assert_is_passwd(fetched: &(FileMetadata, Blob)) {
    let (metadata, bytes) = fetched;
    let passwd = std::fs::read("/etc/passwd").unwrap();
    assert_eq!(bytes, &passwd);
    assert_eq!(metadata.size, passwd.len() as u64);
    assert_eq!(metadata.mode & 0o777, 0o644);
    assert_eq!((metadata.owner.as_deref(), metadata.group.as_deref()), (Some("root"), Some("root")));
    assert_eq!(metadata.mtime, std::fs::metadata("/etc/passwd").unwrap().modified().unwrap());
}

mod fetch_test {
    use super::*;

    #[test]
    fn test_unauthorized() {
        Server::new().assert_unregistered("/etc/shadow");
    }

    #[test]
    fn test_path_authorized() {
        let server = Server::new();
        server.files.register("/etc/passwd".into()).unwrap();
        assert_is_passwd(&server.fetch("/etc/passwd").unwrap());
        server.assert_unregistered("/etc/hosts");
    }

    #[test]
    fn test_root_authorized() {
        let server = Server::new();
        server.files.register_prefix("/".into()).unwrap();
        assert_is_passwd(&server.fetch("/etc/passwd").unwrap());
    }

    #[test]
    fn test_prefix_authorized() {
        let server = Server::new();
        server.files.register_prefix("/etc".into()).unwrap();
        assert_is_passwd(&server.fetch("/etc/passwd").unwrap());
    }

    #[test]
    fn test_prefix_authorized_abspath_bad() {
        let server = Server::new();
        server.files.register_prefix("/etc/foo/bar".into()).unwrap_err();
        server.files.register_prefix("/etc/init.d".into()).unwrap();
        server.assert_unregistered("/etc/init.d/../../../../../etc/passwd");
    }

    #[test]
    fn test_prefix_authorized_abspath_good() {
        let server = Server::new();
        server.files.register_prefix("/etc".into()).unwrap();
        server.assert_unregistered("/etc/../shadow");
    }
}
