use mitogen_service::{AllowParents, service};

struct Files;

#[service]
impl Files {
    #[no_reply(policy = AllowParents)]
    fn not_exposed(&self) {}

    #[expose(policy = AllowParents)]
    #[no_reply(true)]
    fn exposed(&self) {}
}

fn main() {}
