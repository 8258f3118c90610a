#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    #[arg_spec(sise(check = is_sane))]
    fn near_miss(&self, path: String, size: usize) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(length(check = is_sane))]
    fn stranger(&self, path: String, size: usize) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(length(check = is_sane))]
    fn nothing(&self) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size, path())]
    fn no_check(&self, size: usize, path: String) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(check = is_sane)]
    fn no_argument(&self, size: usize) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(check = |size: usize| size > 0), path(check = |path, size| path.len() > size))]
    fn closures(&self, size: usize, path: String) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(max = 3))]
    fn unknown(&self, size: usize) {}
}

fn main() {}
