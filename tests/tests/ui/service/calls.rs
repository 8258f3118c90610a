#![allow(dead_code)]

use mitogen_service::{AllowAny, Context, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self, path: String) -> u8 {
        drop(path);
        1
    }

    fn inner(&self) {}
}

fn calls(context: &Context) {
    let files = Files::stub(context);
    let _ = files.read();
    let _ = files.read("path");
    let _ = files.inner();
}

fn main() {}
