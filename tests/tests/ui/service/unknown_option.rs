#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service(nmae = "files", timeout = 5, name = 7, activate, activate, vis, crate = "x")]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
