#![allow(unused_variables)]

use mitogen_service::{AllowAny, Reply, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn argument(&self, path: PathBuf) {}

    #[expose(policy = AllowAny)]
    fn inner_argument(&self, paths: Vec<PathBuf>) {}

    #[expose(policy = AllowAny)]
    fn result(&self) -> Blob {
        todo!()
    }

    #[expose(policy = AllowAny)]
    fn inner_result(&self) -> Option<Blob> {
        None
    }

    #[expose(policy = AllowAny)]
    fn fallible(&self) -> Result<Blob, CallError> {
        todo!()
    }

    #[expose(policy = AllowAny)]
    fn reply(&self, reply: Reply<Blob>) {}
}

fn main() {}
