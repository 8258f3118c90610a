use mitogen_service::{AllowAny, service};

// The macro does not see what stands beside the block, so the compiler tells. It goes on with the first type of the
// name, which has not what the stub has.
struct FilesStub;

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
