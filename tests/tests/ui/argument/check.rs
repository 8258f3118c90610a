#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

fn of_text(text: &str) -> bool {
    true
}

fn counts(size: &u32) -> u32 {
    *size
}

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    #[arg_spec(size(check = of_text))]
    fn another_type(&self, size: u32) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(check = counts))]
    fn no_verdict(&self, size: u32) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(check = |size| size.len()))]
    fn closure(&self, size: String) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(check = |size: &u16| *size > 0))]
    fn closure_of_another_type(&self, size: u32) {}
}

fn main() {}
