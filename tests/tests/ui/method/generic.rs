#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn types<T>(&self, value: T) {}

    #[expose(policy = AllowAny)]
    fn constants<const N: usize>(&self) {}

    #[expose(policy = AllowAny)]
    fn lifetimes<'a>(&'a self, path: &'a str) {}
}

fn main() {}
