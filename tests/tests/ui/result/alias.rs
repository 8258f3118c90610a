#![allow(unused_variables)]

use std::fmt;

use mitogen_service::{AllowAny, Context, service};

type IoResult<T> = std::io::Result<T>;
type Result = std::result::Result<u8, String>;

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn named(&self) -> IoResult<u8> {
        Ok(0)
    }

    #[expose(policy = AllowAny)]
    fn local(&self) -> Result {
        Ok(0)
    }

    #[expose(policy = AllowAny)]
    fn format(&self) -> fmt::Result {
        Ok(())
    }
}

// The mistake is reported above, and only there.
pub fn call(context: &Context) -> u8 {
    Files::stub(context).named().wait().unwrap()
}

fn main() {}
