use mitogen_service::{AllowAny, service};

struct Files;

#[service(activate = || Ok(Self))]
impl Files {
    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

struct Doors;

#[service(activate = |_| Self)]
impl Doors {
    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

fn main() {}
