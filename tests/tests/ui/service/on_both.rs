#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

#[derive(Default)]
#[service(name = "files", activate)]
struct Files;

#[service(name = "files", activate)]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
