use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    unsafe extern "C" fn read(&self, first: u8, _: ...) {}
}

fn main() {}
