#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn faked(&self) {}

    #[expose(policy = AllowAny)]
    fn with_timeout(&self) {}

    fn stub(&self) {}
}

fn main() {}
