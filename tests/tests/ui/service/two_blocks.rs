use mitogen_service::{AllowAny, Context, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

/// Braces in comments and texts do not count: {
const BRACE: char = '{';

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn write(&self) -> u8 {
        1
    }
}

// What is called exists, in whichever of the two blocks.
fn call(context: &Context) {
    let files = Files::stub(context);
    files.read().detach();
    let _ = files.write().wait().unwrap() + 1;
}

// Other types of the name are services of their own.
mod inner {
    use super::*;

    struct Files;

    #[service]
    impl Files {
        #[expose(policy = AllowAny)]
        fn read(&self) {}
    }
}

fn local() {
    struct Files;

    #[service]
    impl Files {
        #[expose(policy = AllowAny)]
        fn read(&self) {}
    }
}

fn main() {}
