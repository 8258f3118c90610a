use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    #[no_reply]
    fn forget(&self, #[arg(default)] size: u32);

    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
