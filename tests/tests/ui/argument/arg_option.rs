#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn empty(&self, #[arg] size: usize) {}

    #[expose(policy = AllowAny)]
    fn unknown(&self, #[arg(defualt = 3)] size: usize) {}

    #[expose(policy = AllowAny)]
    fn option(&self, #[arg(default)] note: Option<String>) {}

    #[expose(policy = AllowAny)]
    fn conditional(&self, #[cfg(all())] size: usize) {}
}

fn main() {}
