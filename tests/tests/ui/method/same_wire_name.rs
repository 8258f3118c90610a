#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}

    #[expose(policy = AllowAny)]
    fn r#read(&self, path: String) {}
}

fn main() {}
