#![allow(unused_imports, unused_variables)]

use mitogen_service::{AllowAny, arg_spec, expose, no_reply};

struct Files;

impl Files {
    #[expose(policy = AllowAny)]
    #[no_reply]
    fn forget(&self) {}

    #[no_reply]
    fn quiet(&self) {}

    #[arg_spec(size(check = is_sane))]
    fn grow(&self, size: usize) {}
}

fn main() {}
