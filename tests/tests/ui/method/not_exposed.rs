#![allow(unused_imports, unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[no_reply]
    fn quiet(&self) {}

    #[arg_spec(size(check = is_sane))]
    fn checked(&self, size: usize) {}

    fn defaulted(&self, #[arg(default)] size: usize) {}

    #[expose(policy = AllowAny)]
    const LIMIT: usize = 3;
}

fn main() {}
