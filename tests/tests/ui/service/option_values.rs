use mitogen_service::{AllowAny, service};

struct Files;

#[service(name = files, name = "", activate = , invoker, vis = open, crate = "some::path", types = Files)]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Doors;

#[service("doors", vis = "pub(crate)")]
impl Doors {
    #[expose(policy = AllowAny)]
    fn open(&self) {}
}

fn main() {}
