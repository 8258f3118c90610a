use mitogen_service::{AllowAny, service};

struct Files;

#[service(name = files, name = "", activate = , invoker, vis = open, crate = "some::path", types = Files)]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
