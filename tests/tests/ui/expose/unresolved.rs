use mitogen_service::service;

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowNobody)]
    fn unknown_policy(&self) {}

    #[expos(policy = AllowAny)]
    fn unknown_attribute(&self) {}
}

fn main() {}
