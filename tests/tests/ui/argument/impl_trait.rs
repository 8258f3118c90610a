#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn direct(&self, path: impl AsRef<str>) {}

    #[expose(policy = AllowAny)]
    fn nested(&self, paths: Vec<impl AsRef<str>>) {}
}

fn main() {}
