use mitogen_service::service;

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowNobody)]
    fn unknown_policy(&self) {}
}

fn main() {}
