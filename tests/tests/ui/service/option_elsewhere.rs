#![deny(warnings)]

use mitogen_service::{AllowAny, service};

struct Files;

fn is_sane(size: &u8) -> bool {
    *size < 100
}

#[service(policy = AllowAny, activate(Self::create))]
impl Files {
    #[expose(no_reply, policy = AllowAny)]
    fn forget(&self) {}

    #[expose(policy = AllowAny)]
    #[arg_spec(size(is_sane), rest(|rest| *rest > 3))]
    fn reserve(&self, size: u8, #[arg(default: 3)] rest: u8) -> u8 {
        size + rest
    }
}

fn main() {}
