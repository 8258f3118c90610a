#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

fn is_sane(size: &u32) -> bool {
    true
}

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    #[arg_spec(size(chekc = is_sane))]
    fn near_miss(&self, size: u32) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(check))]
    fn no_value(&self, size: u32) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size = is_sane)]
    fn no_parentheses(&self, size: u32) {}

    #[expose(policy = AllowAny)]
    #[arg_spec = is_sane]
    fn no_list(&self, size: u32) {}
}

fn main() {}
