use mitogen_service::{AllowAny, service};

struct Files;

// To the compiler's parser this is a function, to ours it is nothing known; so somebody has to say it.
#[service]
impl Files {
    #[expose(policy = AllowAny)]
    safe fn read(&self) {}
}

fn main() {}
