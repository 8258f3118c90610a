//! Whose word counts of a transfer.

use mitogen_service::{Blob, Context, FileError};
use mitogen_service_tests::LONG;

use super::ends::Stuck;
use super::{Dir, SIZE};
use crate::file_service_test::{Fetcher, Server};

#[test]
fn an_acknowledgement_belongs_to_one_transfer_and_one_receiver() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let root = server.bench.root();
    let transfer = Stuck::stub(&server.child).fetch(root.clone(), source, 1).wait_timeout(LONG).unwrap();
    let acknowledge = |context: &Context, transfer, size| {
        Fetcher::stub(context).acknowledge(root.clone(), transfer, size).wait_timeout(LONG)
    };
    let other = server.bench.child("other");
    for (context, transfer, size) in [
        (&server.child, transfer, -1),
        (&server.child, transfer, i64::MIN),
        (&server.child, transfer, i64::MAX),
        (&server.child, transfer, 4 * SIZE as i64),
        (&server.child, transfer ^ 1, 1),
        (&other, transfer, 1),
    ] {
        let error = FileError::from(acknowledge(context, transfer, size).unwrap_err());
        assert!(matches!(error, FileError::Invalid { .. }), "{size}: {error:?}");
    }
    acknowledge(&server.child, transfer, 0).unwrap();
    acknowledge(&server.child, transfer, 1000).unwrap();
    let error = acknowledge(&server.child, transfer, i64::MAX).unwrap_err();
    assert!(error.to_string().contains("unacked="), "{error}");
}

#[test]
fn a_file_is_sent_to_whoever_asks_and_to_nobody_else() {
    let server = Server::new();
    server.files.register_prefix("/etc".into()).unwrap();
    let receiver = server.bench.router.receiver::<Blob>();
    let fetch = Fetcher::stub(&server.child).fetch_for(server.bench.root(), "/etc/passwd".into(), receiver.sender());
    let error = fetch.wait_timeout(LONG).unwrap_err();
    assert_eq!(error.to_string(), "sender= kwarg context must match requestee context");
}
