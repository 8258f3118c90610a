#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn no_text(&self, #[arg(rename = type)] kind: u8) {}

    #[expose(policy = AllowAny)]
    fn no_value(&self, #[arg(rename)] kind: u8) {}

    #[expose(policy = AllowAny)]
    fn empty(&self, #[arg(rename = "")] kind: u8) {}

    #[expose(policy = AllowAny)]
    fn taken(&self, size: u8, #[arg(rename = "size")] length: u8) {}

    #[expose(policy = AllowAny)]
    fn near_miss(&self, #[arg(renam = "size")] length: u8) {}

    #[expose(policy = AllowAny)]
    fn without_parentheses(&self, #[arg = 3] length: u8) {}
}

fn main() {}
