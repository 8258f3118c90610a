#![allow(unused_imports, unused_variables)]

use mitogen_service::{AllowAny, service};

struct Cache<T>(T);

#[service]
impl<T> Cache<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
