use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn broken(&self, size u8) {}

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn read(&self, #[arg(default)] size: u8) {}
}

fn main() {}
