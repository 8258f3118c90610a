//! What a method fails with, as its caller gets it.

use std::fmt;
use std::io;

use mitogen_service::{AllowAny, CallError, service};
use serde::{Deserialize, Serialize};

use crate::Served;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum DiskError {
    Full { free: u64 },
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { free } => write!(f, "only {free} bytes are free"),
        }
    }
}

impl std::error::Error for DiskError {}

/// Only `Display`, nothing else.
struct Text(&'static str);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

mod aliased {
    pub(super) type Result<T> = std::result::Result<T, super::DiskError>;
}

/// Fails in every way.
struct Failing;

#[service]
impl Failing {
    #[expose(policy = AllowAny)]
    fn display(&self) -> Result<u8, Text> {
        Err(Text("no luck"))
    }

    #[expose(policy = AllowAny)]
    fn borrowed(&self) -> Result<u8, &'static str> {
        Err("no luck")
    }

    #[expose(policy = AllowAny)]
    fn typed(&self) -> Result<u8, DiskError> {
        Err(DiskError::Full { free: 3 })
    }

    #[expose(policy = AllowAny)]
    fn aliased(&self) -> aliased::Result<u8> {
        Err(DiskError::Full { free: 4 })
    }

    #[expose(policy = AllowAny)]
    fn input_output(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::NotFound, "gone"))
    }

    #[expose(policy = AllowAny)]
    fn boxed(&self) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
        Err(DiskError::Full { free: 5 }.into())
    }

    #[expose(policy = AllowAny)]
    fn boxed_call_error(&self) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
        Err(Box::new(CallError::failed("inner")))
    }

    #[expose(policy = AllowAny)]
    fn call_error(&self) -> Result<u8, CallError> {
        Err(CallError::Overloaded { what: "me".to_owned(), trace: Default::default() })
    }

    #[expose(policy = AllowAny)]
    fn panics(&self) -> u8 {
        panic!("out of luck")
    }

    #[expose(policy = AllowAny)]
    fn fine(&self) -> Result<u8, DiskError> {
        Ok(1)
    }
}

#[test]
fn errors_arrive_with_their_text() {
    let served = Served::new(Failing);
    let stub = Failing::stub(&served.context);
    let text = |call: mitogen_service::Call<u8>| match call.wait().unwrap_err() {
        CallError::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(stub.display()), "no luck");
    assert_eq!(text(stub.borrowed()), "no luck");
    assert_eq!(text(stub.typed()), "only 3 bytes are free");
    assert_eq!(text(stub.boxed()), "only 5 bytes are free");
    assert_eq!(stub.input_output().wait().unwrap_err().to_string(), "gone");
    assert_eq!(stub.fine().wait(), Ok(1));
}

#[test]
fn errors_that_can_be_serialized_come_back_typed() {
    let served = Served::new(Failing);
    let stub = Failing::stub(&served.context);
    let typed = stub.typed().wait().unwrap_err();
    assert_eq!(typed.decode(), Some(DiskError::Full { free: 3 }));
    assert_eq!(typed.decode::<String>(), None);
    let aliased = stub.aliased().wait().unwrap_err();
    assert_eq!(aliased.decode(), Some(DiskError::Full { free: 4 }));
}

#[test]
fn the_kind_of_a_call_error_survives() {
    let served = Served::new(Failing);
    let stub = Failing::stub(&served.context);
    let error = stub.call_error().wait().unwrap_err();
    assert!(matches!(&error, CallError::Overloaded { what, .. } if what == "me"), "{error:?}");
    let inner = stub.boxed_call_error().wait().unwrap_err();
    assert_eq!(inner.to_string(), "inner");
    let panicked = stub.panics().wait().unwrap_err();
    assert!(matches!(&panicked, CallError::Panicked { message, .. } if message == "out of luck"));
    assert_eq!(stub.fine().wait(), Ok(1), "the service goes on");
}
