use mitogen_service::{AllowParents, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowNobody)]
    fn unknown_policy(&self) {}

    #[expose(policy = AllowParent)]
    fn nearly_known_policy(&self) {}
}

fn main() {}
