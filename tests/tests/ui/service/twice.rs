use mitogen_service::{AllowAny, service};

struct Files;

#[service]
#[service(name = "files")]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
