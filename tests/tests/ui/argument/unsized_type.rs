#![allow(unused_variables)]

use std::path::Path;

use mitogen_service::{AllowAny, Context, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn text(&self, text: str) -> usize {
        text.len()
    }

    #[expose(policy = AllowAny)]
    fn bytes(&self, bytes: [u8]) {}

    #[expose(policy = AllowAny)]
    fn numbers(&self, numbers: [u16]) {}

    #[expose(policy = AllowAny)]
    fn path(&self, path: Path) {}

    #[expose(policy = AllowAny)]
    fn path_of_std(&self, path: std::path::Path) {}

    #[expose(policy = AllowAny)]
    fn object(&self, object: dyn std::fmt::Display) {}
}

// Whoever calls the method as it should be has no mistake of his own.
fn call(files: &Files, context: &Context) {
    files.text("text");
    Files::stub(context).text("text").detach();
}

fn main() {}
