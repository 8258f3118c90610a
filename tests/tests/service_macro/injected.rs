//! What the dispatcher provides, and who may ask for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, AllowParents, CallError, Caller, Reply, Router, Service, service};

use crate::Served;

/// Gets what the dispatcher provides.
struct Injected {
    noted: mpsc::Sender<usize>,
}

impl Injected {
    fn is_nobody(&self, _: &Caller) -> bool {
        false
    }
}

#[service]
impl Injected {
    #[expose(policy = AllowAny)]
    fn router(&self, router: &Router, caller: &Caller) -> (String, String) {
        (router.myself().to_string(), caller.context().to_string())
    }

    #[expose(policy = AllowAny)]
    fn later(&self, a: u32, reply: Reply<u32>, b: u32) {
        thread::spawn(move || reply.send(Ok(a + b)));
    }

    #[expose(policy = AllowAny)]
    fn later_path(&self, reply: Reply<PathBuf>) {
        reply.send(Ok(PathBuf::from(OsStr::from_bytes(b"\xff"))));
    }

    #[expose(policy = AllowAny)]
    fn never(&self, reply: Reply<u32>) {
        drop(reply);
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn note(&self, by: usize, _caller: &Caller) {
        self.noted.send(by).unwrap();
    }

    #[expose(policy = AllowAny)]
    #[expose(policy = AllowParents, policy = Self::is_nobody)]
    fn secret(&self) -> u8 {
        7
    }

    #[expose(policy = AllowAny, policy = |_: &Self, _: &Caller| true)]
    fn open(&self) -> u8 {
        8
    }
}

#[test]
fn injected_parameters_are_no_arguments() {
    let served = Served::new(Injected { noted: mpsc::channel().0 });
    let stub = Injected::stub(&served.context);
    let (_, caller) = stub.router().wait().unwrap();
    assert!(!caller.is_empty());
    assert_eq!(stub.later(1, 2).wait(), Ok(3));
    assert_eq!(stub.later_path().wait().unwrap().as_os_str().as_bytes(), b"\xff");
    let dropped = stub.never().wait().unwrap_err();
    assert!(matches!(dropped, CallError::Cancelled { .. }), "{dropped:?}");
    let args = &Injected::DESCRIPTOR.methods[1].args;
    assert_eq!(args.iter().map(|arg| arg.name).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_call_without_reply_is_executed_all_the_same() {
    let (noted, received) = mpsc::channel();
    let served = Served::new(Injected { noted });
    let stub = Injected::stub(&served.context);
    let posted: Result<(), CallError> = stub.note(5);
    posted.unwrap();
    assert_eq!(received.recv_timeout(Duration::from_secs(10)), Ok(5));
}

#[test]
fn every_policy_must_agree() {
    let served = Served::new(Injected { noted: mpsc::channel().0 });
    let stub = Injected::stub(&served.context);
    let refused = stub.secret().wait().unwrap_err();
    assert!(matches!(&refused, CallError::Unauthorized { method, .. } if method == "secret"));
    assert_eq!(stub.open().wait(), Ok(8));
    let secret = Injected::DESCRIPTOR.methods.iter().find(|method| method.name == "secret");
    assert_eq!(secret.unwrap().policies, ["AllowAny", "AllowParents", "Self::is_nobody"]);
}
