#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

type Outcome = Result<u8, String>;
type MaybeResult = Result<u8, String>;

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn hidden(&self) -> Outcome {
        Ok(0)
    }

    #[expose(policy = AllowAny)]
    fn suffixed(&self) -> MaybeResult {
        Ok(0)
    }
}

fn main() {}
