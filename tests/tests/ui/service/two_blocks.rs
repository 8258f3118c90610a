use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

// The macro sees one block at a time, so only the compiler can tell that there are two. To it each thing that
// both make is a mistake of its own; the first one names the stub, of which a type has one.
#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn write(&self) {}
}

fn main() {}
