//! Services in a crate of the edition before, without a prelude, that knows the runtime by another name.
#![no_implicit_prelude]
#![forbid(unsafe_code)]

extern crate mitogen_service as other;
extern crate std;

use other::{function, service, testing, AllowAny, Caller, Pool, Reply, Router};
use std::option::Option::{self, None, Some};
use std::result::Result::{self, Err, Ok};
use std::string::String;
use std::{assert_eq, matches};

/// A service.
#[derive(std::default::Default)]
struct Old {
    async_: u8,
}

#[service(activate, crate = crate::other)]
impl Old {
    #[expose(policy = AllowAny, policy = |_: &Self, _: &Caller| true)]
    #[arg_spec(n(check = |n| *n > 0))]
    fn check(&self, n: u8, #[arg(default = 2)] m: u8, text: Option<&str>) -> Result<u8, String> {
        match text {
            Some(text) => Err(std::convert::From::from(text)),
            None => Ok(n + m + self.async_),
        }
    }

    #[expose(policy = AllowAny, invoker = other::DeduplicatingInvoker)]
    fn shared(&self, n: u8) -> u8 {
        n
    }

    #[expose(policy = AllowAny)]
    fn later(&self, _router: &Router, reply: Reply<u8>) {
        reply.send(Ok(1));
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn nothing(&self) {}

    #[on_shutdown]
    fn end(&self) {}
}

/// A generic one.
struct Pair<T, U>(T, U);

#[service(crate = other)]
impl<T, U> Pair<T, U>
where
    T: std::clone::Clone + ::serde::Serialize + ::serde::de::DeserializeOwned + std::marker::Send + std::marker::Sync,
    U: std::marker::Send + std::marker::Sync,
{
    #[expose(policy = AllowAny)]
    fn first(&self) -> T {
        std::clone::Clone::clone(&self.0)
    }
}

#[function(crate = crate::other)]
fn twice(n: u8) -> u8 {
    n * 2
}

#[test]
fn a_generic_service_works_in_the_edition_before() {
    let (parent, child) = testing::pair();
    let pair = Pair(String::new(), 2u8);
    assert_eq!(pair.1, 2);
    let pool = Pool::builder(&child).service(pair).start();
    std::assert!(pool.is_ok());
    assert_eq!(Pair::<String, u8>::stub(&parent.children()[0]).first().wait(), Ok(String::new()));
}

#[test]
fn services_and_functions_work_without_a_prelude() {
    let (parent, _child) = testing::pair();
    let context = &parent.children()[0];
    let old = Old::stub(context);
    assert_eq!(old.check(1, 2, None).wait(), Ok(3));
    std::assert!(matches!(old.check(1, 2, Some("no")).wait(), Err(other::CallError::Failed { .. })));
    std::assert!(matches!(old.check(0, 2, None).wait(), Err(other::CallError::ArgInvalid { .. })));
    assert_eq!(old.shared(5).wait(), Ok(5));
    assert_eq!(old.later().wait(), Ok(1));
    assert_eq!(old.nothing(), Ok(()));
    assert_eq!(context.call(twice, 4).wait(), Ok(8));
}
