//! Many transfers at a time.

use std::fs;
use std::path::PathBuf;

use mitogen_service::{AllowParents, Blob, CallError, Context, FetchOptions, FileService, Router, service};
use mitogen_service_tests::LONG;

use super::Dir;
use crate::file_service_test::Server;

/// Asks for many files at once, and tells in which order they came.
#[derive(Default)]
struct Crowd;

#[service(activate)]
impl Crowd {
    /// The numbers of the files in the order in which their turns came.
    #[expose(policy = AllowParents)]
    fn fetch(&self, from: Context, dir: PathBuf, files: usize, router: &Router) -> Result<Vec<usize>, CallError> {
        let asked = (0..files).map(|number| {
            let receiver = router.receiver::<Blob>();
            let path = dir.join(number.to_string());
            let call = FileService::stub(&from).fetch(path, receiver.sender(), FetchOptions::default());
            (Some(receiver), call)
        });
        let (mut receivers, calls): (Vec<_>, Vec<_>) = asked.unzip();
        std::thread::scope(|scope| {
            let turns = mitogen_service::as_completed(calls).map(|(number, metadata)| {
                let (metadata, receiver) = (metadata?, receivers[number].take().unwrap());
                scope.spawn(move || {
                    let bytes: usize = receiver.iter().map(|blob| blob.len()).filter(|length| *length > 1000).sum();
                    assert_eq!(bytes as u64, metadata.size);
                });
                Ok(number)
            });
            turns.collect()
        })
    }
}

#[test]
fn two_hundred_fetches_of_twenty_children_take_turns() {
    const CHILDREN: usize = 20;
    const FILES: usize = 10;
    let server = Server::new();
    let dir = Dir::new();
    for number in 0..FILES {
        fs::write(dir.path(&number.to_string()), vec![number as u8; 3 * 1024 * 1024]).unwrap();
    }
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let children: Vec<_> = (0..CHILDREN).map(|number| server.bench.child(&number.to_string())).collect();
    let began = std::time::Instant::now();
    let calls: Vec<_> = children
        .iter()
        .map(|child| Crowd::stub(child).fetch(server.bench.root(), dir.0.path().to_owned(), FILES))
        .collect();
    let mut ends = Vec::new();
    for (_, order) in mitogen_service::as_completed(calls) {
        // In arrival order within one child.
        assert_eq!(order.unwrap(), (0..FILES).collect::<Vec<_>>());
        ends.push(began.elapsed());
    }
    println!(
        "the first of {CHILDREN} children had its {FILES} files after {:?}, the last after {:?}",
        ends[0],
        ends[CHILDREN - 1]
    );
    // Had they been served one after the other, the fifth would have waited for a quarter of the time. Those before it
    // may have begun before others had the processor at all.
    assert!(ends[CHILDREN / 5 - 1] * 3 > ends[CHILDREN - 1], "{ends:?}");
    // Whoever has the last of a file has it an instant before the thread that has sent it puts that down.
    let deadline = began + LONG;
    while server.files.transfers() > 0 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(server.files.transfers(), 0);
}
