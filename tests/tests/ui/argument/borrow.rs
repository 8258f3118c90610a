#![allow(unused_variables)]

use std::path::PathBuf;

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn strings(&self, names: &[String]) {}

    #[expose(policy = AllowAny)]
    fn owned(&self, name: &String, bytes: &Vec<u8>, path: &PathBuf, size: &u32) {}

    #[expose(policy = AllowAny)]
    fn exclusive(&self, name: &mut str) {}

    #[expose(policy = AllowAny)]
    fn nested(&self, names: Vec<&str>, pair: (u8, &[u8]), fine: Option<&str>) {}

    #[expose(policy = AllowAny)]
    fn eternal(&self, name: &'static str) {}
}

fn main() {}
