use mitogen_service::{AllowAny, Context, service};

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

struct Gates;

#[service(activate = |context: &Context| Ok::<_, String>(Self))]
impl Gates {
    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

fn main() {}
