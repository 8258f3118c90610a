//! Mitogen's `push_file_service_test`.

use std::path::PathBuf;
use std::time::Duration;

use mitogen_service::{
    AllowParents, Blob, CallError, Context, FileError, FileHash, FileMetadata, Paths, Pool, PushAnswer,
    PushFileService, PushOffer, Router, service,
};
use mitogen_service_tests::LONG;

use crate::bench::{Bench, Worker};

/// What a child does with files that are pushed to it.
#[derive(Default)]
pub(crate) struct Getter;

#[service(activate)]
impl Getter {
    /// Waits for a file.
    #[expose(policy = AllowParents)]
    fn get(&self, path: PathBuf, millis: u64, router: &Router) -> Result<(FileMetadata, Blob), FileError> {
        let pushed = PushFileService::get(router, path, Duration::from_millis(millis))?;
        Ok((pushed.metadata().clone(), pushed.read()?.into()))
    }

    /// The hash of what is there of a file.
    #[expose(policy = AllowParents)]
    fn hash(&self, path: PathBuf, router: &Router) -> Result<Option<FileHash>, FileError> {
        let Some(pushed) = PushFileService::find(router, path) else { return Ok(None) };
        let hash = FileHash::of(&pushed.read()?);
        assert_eq!(hash, pushed.hash());
        Ok(Some(hash))
    }

    /// What the service says of itself.
    #[expose(policy = AllowParents)]
    fn shown(&self, router: &Router) -> String {
        let service = router.pool().and_then(|pool| pool.get_service::<PushFileService>());
        format!("{:?}", service.expect("something was pushed"))
    }

    #[expose(policy = AllowParents)]
    fn save(&self, path: PathBuf, to: PathBuf, router: &Router) -> Result<(), FileError> {
        PushFileService::get(router, path, LONG)?.save(to)
    }

    /// How many bytes this process has read and written.
    #[expose(policy = AllowParents)]
    fn io(&self) -> (u64, u64) {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        let field = |name| io.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
        (field("rchar:"), field("wchar:"))
    }

    /// Has another context push a file.
    #[expose(policy = AllowParents)]
    fn propagate(&self, at: Context, to: Context, path: PathBuf) -> Result<(), CallError> {
        PushFileService::stub(&at).propagate_to(to, path).wait()
    }

    /// Pushes from here.
    #[expose(policy = AllowParents)]
    fn push(&self, to: Vec<Context>, path: PathBuf, router: &Router) -> Result<(), FileError> {
        PushFileService::push(router, [path]).to(&to).run().into_iter().try_for_each(|(_, result)| result)
    }

    /// Gives another context a file of its own making.
    #[expose(policy = AllowParents)]
    fn foist(&self, at: Context, path: PathBuf, metadata: FileMetadata, router: &Router) -> Result<(), CallError> {
        let answers = router.receiver::<PushAnswer>();
        let (data, contexts, answers) = (Blob::from("evil"), vec![at.id()], answers.sender());
        let offer = PushOffer { metadata, hash: FileHash::of(&data), contexts, answers };
        PushFileService::stub(&at).store_and_forward(path, data, offer).wait()
    }

    /// Puts another service in the place of the one that takes files.
    #[expose(policy = AllowParents)]
    fn deceive(&self, accomplice: mitogen_service::Sender<Blob>, router: &Router) -> mitogen_service::Result<()> {
        let pool: Pool = router.pool().expect("it runs in one");
        pool.add(crate::push::Impostor(accomplice))
    }
}

pub(crate) fn get(at: &Context, path: impl Into<PathBuf>) -> Result<(FileMetadata, Blob), FileError> {
    Getter::stub(at).get(path.into(), LONG.as_millis() as u64).wait_timeout(LONG).map_err(FileError::from)
}

mod propagate_to_test {
    use super::*;

    #[test]
    fn test_two_grandchild_one_intermediary() {
        let bench = Bench::new();
        let child = bench.child("child");
        let below = |name: &str| Worker::stub(&child).start_child(name.to_owned()).wait_timeout(LONG).unwrap();
        let grandchildren = [below("one"), below("two")];
        bench.pool.add(PushFileService::new()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let service = PushFileService::stub(&bench.root());
        for grandchild in &grandchildren {
            service.propagate_to(grandchild.clone(), path.clone()).wait_timeout(LONG).unwrap();
            assert_eq!(get(grandchild, &path).unwrap().1, b"content"[..]);
        }
        service.propagate_paths(child.clone(), [&path].into()).wait_timeout(LONG).unwrap();
        assert_eq!(get(&child, &path).unwrap().1, b"content"[..]);
        let missing = service.propagate_paths(child, Paths::from([path, "/not/there".into()])).wait_timeout(LONG);
        let missing = FileError::from(missing.unwrap_err());
        assert_eq!(missing.io_kind(), Some(std::io::ErrorKind::NotFound));
    }
}
