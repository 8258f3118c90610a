#![allow(unused_variables)]

use mitogen_service::service;

#[service(vis = pub(crate), nam = "files")]
struct Files;

#[service(crate = mitogen_service)]
enum Kind {
    One,
}

fn main() {}
