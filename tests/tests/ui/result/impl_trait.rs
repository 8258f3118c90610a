#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn direct(&self) -> impl Iterator<Item = u8> {
        std::iter::empty()
    }

    #[expose(policy = AllowAny)]
    fn fallible(&self) -> Result<impl Sized, String> {
        Ok(())
    }
}

fn main() {}
