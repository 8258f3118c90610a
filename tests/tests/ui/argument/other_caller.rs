#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

mod other {
    pub struct Caller;

    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Router;

    pub mod again {
        pub use mitogen_service::Caller;
    }
}

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn theirs(&self, caller: &other::Caller) {}

    // By value it is an argument, and by reference it may be one of ours that a module has from there.
    #[expose(policy = AllowAny)]
    fn right(&self, router: other::Router, caller: &other::again::Caller) {}

    #[expose(policy = AllowAny)]
    fn ours(&self, router: mitogen_service::Router) {}
}

struct Others;

#[service]
impl Others {
    #[expose(policy = AllowAny)]
    fn theirs(&self, caller: &other::Caller) {}
}

fn main() {}
