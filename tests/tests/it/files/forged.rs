//! Whoever does not keep to the protocol.

use std::fs;
use std::io;
use std::path::PathBuf;

use mitogen_service::{
    AllowParents, Blob, CallError, FetchOptions, FileError, FileHash, FileMetadata, FileService, Sender, service,
};
use mitogen_service_tests::LONG;

use super::Dir;
use crate::bench::Bench;

/// A context that answers a fetch with whatever it likes.
struct Forger {
    metadata: FileMetadata,
    messages: Vec<Blob>,
}

#[service(name = "mitogen.service.FileService")]
impl Forger {
    #[expose(policy = AllowParents)]
    fn fetch(&self, path: PathBuf, sender: Sender<Blob>, options: FetchOptions) -> Result<FileMetadata, CallError> {
        drop((path, options));
        self.messages.iter().try_for_each(|message| sender.send(message.clone()))?;
        sender.close();
        Ok(self.metadata.clone())
    }
}

#[derive(serde::Serialize)]
struct Start {
    offset: u64,
}

#[derive(serde::Serialize)]
struct Trailer {
    error: Option<FileError>,
    has_grown: bool,
    hash: Option<FileHash>,
}

#[test]
fn a_context_that_does_not_keep_to_the_protocol_is_not_believed() {
    let start = |offset| Blob::from(rmp_serde::to_vec_named(&Start { offset }).unwrap());
    let end = |hash| Blob::from(rmp_serde::to_vec_named(&Trailer { error: None, has_grown: false, hash }).unwrap());
    let failed = || {
        let error = Some(FileError::Changed { path: "/x".into() });
        Blob::from(rmp_serde::to_vec_named(&Trailer { error, has_grown: false, hash: None }).unwrap())
    };
    let (bytes, nothing) = (|| Blob::from("0123456789"), Blob::default);
    let right = Some(FileHash::of(b"0123456789"));
    let wrong = Some(FileHash::of(b"9876543210"));
    // The messages, and how the error begins; none for the one that is right.
    let scripts: [(Vec<Blob>, Option<&str>); 16] = [
        (vec![start(0), bytes(), nothing(), end(right)], None),
        (vec![start(0), "01234".into(), "56789".into(), nothing(), end(right)], None),
        (vec![], Some("Interrupted")),
        (vec![start(0)], Some("Interrupted")),
        (vec![start(0), bytes()], Some("Interrupted")),
        (vec![start(0), bytes(), nothing()], Some("Interrupted")),
        (vec![bytes(), nothing(), end(right)], Some("Malformed")),
        (vec![start(5), "56789".into(), nothing(), end(right)], Some("Malformed")),
        // As many as are known, and more than there are.
        (vec![start(100), nothing(), end(right)], Some("Malformed")),
        (vec![start(0), bytes(), "x".into(), nothing(), end(right)], Some("Malformed")),
        (vec![start(0), nothing(), end(Some(FileHash::of(b"")))], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), "noise".into()], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), nothing()], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), end(None)], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), end(wrong)], Some("Damaged")),
        (vec![start(0), bytes(), nothing(), failed()], Some("Changed")),
    ];
    let dir = Dir::new();
    fs::write(dir.path("ten"), "0123456789").unwrap();
    let bench = Bench::new();
    let metadata = FileService::get(&bench.child("honest"), dir.path("ten"), &mut io::sink()).run().unwrap().metadata;
    for (messages, error) in scripts {
        let (parent, child) = mitogen_service::testing::pair();
        let forger = Forger { metadata: metadata.clone(), messages: messages.clone() };
        let pool = mitogen_service::Pool::builder(&child).service(forger).start().unwrap();
        let to = dir.path("to");
        // A beginning is there, of which it may say what it likes.
        fs::write(dir.path(".to.mitogen-part"), [0; 100]).unwrap();
        let got = FileService::get(&parent.children()[0], "/x", &to).resume(true).run();
        match error {
            None => {
                assert_eq!(got.unwrap().hash, right);
                assert_eq!(fs::read(&to).unwrap(), b"0123456789");
                fs::remove_file(&to).unwrap();
            }
            Some(kind) => {
                let got = format!("{:?}", got.unwrap_err());
                assert!(got.starts_with(kind), "{got}");
                assert!(!to.exists());
            }
        }
        pool.close(LONG);
    }
}
