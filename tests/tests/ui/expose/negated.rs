use mitogen_service::{AllowAny, AllowParents, AllowSelf, AnyOf, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = !AllowAny)]
    fn named(&self) {}

    #[expose(policy = !AnyOf((AllowParents, AllowSelf)))]
    fn one_of_several(&self) {}
}

fn main() {}
