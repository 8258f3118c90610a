#![allow(unused_variables, unused_imports)]

use std::path::Path;

use mitogen_service::{AllowAny, Reply, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn text(&self) -> str {
        *"text"
    }

    #[expose(policy = AllowAny)]
    fn bytes(&self) -> Result<[u8], String> {
        Ok(*b"bytes")
    }

    #[expose(policy = AllowAny)]
    fn path(&self) -> std::io::Result<Path> {
        Ok(*Path::new("/"))
    }

    #[expose(policy = AllowAny)]
    fn object(&self) -> dyn std::fmt::Display {
        1
    }

    #[expose(policy = AllowAny)]
    fn later(&self, reply: Reply<str>) {}
}

fn call(files: &Files) -> Result<Vec<u8>, String> {
    files.bytes()
}

fn main() {}
