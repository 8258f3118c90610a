//! Callers that do not wait any more for what they have asked others to take, and those that panic.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use mitogen_service::{
    Blob, Call, Context, EventKind, FileError, FileHash, FileMetadata, FileService, Receiver, Router, Select, Sender,
    StoreOptions, Stored,
};
use mitogen_service_tests::{LONG, within};
use serde::Serialize;

use super::{Dir, SIZE};
use crate::bench::Bench;

/// How many calls of the service run at a time.
const RUNNING: usize = 32;

/// What is sent of a file, as the protocol has it.
#[derive(Serialize)]
struct Start {
    offset: u64,
}

#[derive(Serialize)]
struct Trailer {
    error: Option<()>,
    has_grown: bool,
    hash: Option<FileHash>,
}

/// What is sent of a directory.
#[derive(Serialize)]
enum Part {
    Directory { path: Blob, metadata: FileMetadata },
    End,
}

fn message(what: &impl Serialize) -> Blob {
    rmp_serde::to_vec_named(what).unwrap().into()
}

fn metadata_of(child: &Context, path: &Path) -> FileMetadata {
    FileService::get(child, path, &mut io::sink()).run().unwrap().metadata
}

/// Nobody knows where the bytes are to go: what tells of that is never decoded.
#[test]
fn who_leaves_when_all_is_ready_takes_no_place() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(10);
    let metadata = metadata_of(&child, &source);
    let service = FileService::stub(&child);
    let begun: Vec<_> = (0..RUNNING)
        .map(|number| {
            let ready: Receiver<Stored> = bench.router.receiver().from(&child);
            let (to, options, sender) = (dir.path("given-up"), StoreOptions::default(), ready.sender());
            let calls: (Option<Call<_>>, Option<Call<_>>) = match number % 2 {
                0 => (Some(service.store(to, metadata.clone(), options, sender)), None),
                _ => (None, Some(service.store_dir(to, options, sender))),
            };
            let select = Select::new();
            select.add(ready, number as u64).unwrap();
            let event = select.get_timeout(LONG).unwrap();
            assert!(matches!(event.kind, EventKind::Message), "{event:?}");
            (select, event, calls)
        })
        .collect();
    drop(begun);
    let (child, to) = (child.clone(), dir.path("to"));
    within(LONG, move || FileService::put(&child, &source, &to).run()).unwrap();
    assert_eq!(fs::read(dir.path("to")).unwrap(), bytes);
    assert!(!dir.path("given-up").exists());
}

/// Asks for something to be taken, until that begins before the time is over.
fn begin<T>(
    (router, child): (&Router, &Context),
    ask: impl Fn(Duration, Sender<Stored>) -> Call<T>,
) -> (Duration, Stored, Call<T>) {
    [1, 4, 16]
        .into_iter()
        .find_map(|seconds| {
            let timeout = Duration::from_secs(seconds);
            let ready: Receiver<Stored> = router.receiver().from(child);
            let call = ask(timeout, ready.sender());
            ready.recv_timeout(timeout).ok().map(|stored| (timeout, stored, call))
        })
        .expect("it begins")
}

/// The caller's time is over when the last message comes, and it has said nothing of that.
#[test]
fn what_comes_too_late_does_not_take_its_name() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, _) = Dir::with(1);
    let metadata = metadata_of(&child, &source);
    let finish = |(timeout, data): (Duration, Sender<Blob>), last: Part| {
        // Its time began before this.
        let nothing = bench.router.receiver::<()>().recv_timeout(timeout);
        nothing.unwrap_err();
        let last = match last {
            Part::Directory { .. } => message(&Trailer { error: None, has_grown: false, hash: None }),
            Part::End => message(&Part::End),
        };
        data.send(last).unwrap();
        // It is not taken, and so the second one waits for the end.
        within(LONG, move || while data.send(vec![0; 2 * 1024 * 1024].into()).is_ok() {});
    };
    let to = dir.path("to");
    let (timeout, stored, call) = begin((&bench.router, &child), |timeout, ready| {
        let service = FileService::stub(&child).with_timeout(timeout);
        service.store(to.clone(), metadata.clone(), StoreOptions::default(), ready)
    });
    let bytes = [message(&Start { offset: 0 }), b"x".into(), Blob::default()];
    bytes.into_iter().try_for_each(|part| stored.data.send(part)).unwrap();
    finish((timeout, stored.data), Part::Directory { path: Blob::default(), metadata: metadata.clone() });
    assert_eq!(dir.names(), ["source"]);
    call.wait_timeout(LONG).unwrap_err();

    let (timeout, stored, call) = begin((&bench.router, &child), |timeout, ready| {
        let service = FileService::stub(&child).with_timeout(timeout);
        service.store_dir(to.clone(), StoreOptions::default(), ready)
    });
    stored.data.send(message(&Part::Directory { path: Blob::default(), metadata })).unwrap();
    finish((timeout, stored.data), Part::End);
    assert_eq!(dir.names(), ["source"]);
    call.wait_timeout(LONG).unwrap_err();
}

#[test]
fn who_panics_in_the_middle_of_a_transfer_leaves_nothing_and_takes_no_place() {
    struct Panics;
    impl io::Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("as it should")
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (parent, below) = mitogen_service::testing::pair();
    let child = parent.children()[0].clone();
    let (dir, source, bytes) = Dir::with(2 * SIZE);
    let top = dir.path("top");
    fs::create_dir(&top).unwrap();
    (0..3).for_each(|number| fs::write(top.join(number.to_string()), &bytes[..1000]).unwrap());
    let panics = |body: &dyn Fn() -> Result<(), FileError>| {
        catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    };
    for _ in 0..RUNNING {
        let to = dir.path("to");
        panics(&|| FileService::put(&child, &source, &to).progress(|_| panic!("as it should")).run().map(drop));
        panics(&|| FileService::put_dir(&child, &top, &to).progress(|_| panic!("as it should")).run().map(drop));
        panics(&|| FileService::get(&child, &source, &mut Panics).run().map(drop));
        panics(&|| FileService::get_dir(&child, &top, &to).progress(|_| panic!("as it should")).run().map(drop));
    }
    let (own, from, to) = (child.clone(), source.clone(), dir.path("put"));
    within(LONG, move || FileService::put(&own, &from, &to).run()).unwrap();
    let (own, from, to) = (child.clone(), source.clone(), dir.path("got"));
    within(LONG, move || FileService::get(&own, &from, &to).run()).unwrap();
    // What is begun at the other end is let go of when that learns of it: at the latest when all its threads have left,
    // which is waited for here.
    drop((parent, below));
    assert_eq!(dir.names(), ["got", "put", "source", "top"]);
}
