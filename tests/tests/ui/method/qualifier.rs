#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    async fn later(&self) {}

    #[expose(policy = AllowAny)]
    unsafe fn unsound(&self) {}
}

fn main() {}
