use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

// In another module only the compiler knows that this is the same type.
mod inner {
    use super::*;

    #[service]
    impl Files {
        #[expose(policy = AllowAny)]
        fn write(&self) {}
    }
}

fn main() {}
