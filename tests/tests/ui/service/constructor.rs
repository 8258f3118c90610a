use mitogen_service::{AllowAny, ServiceScope, service};

struct NoScope;

#[service(activate = Self::create)]
impl NoScope {
    fn create() -> Result<Self, String> {
        Ok(Self)
    }

    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct NoResult;

#[service(activate = Self::create)]
impl NoResult {
    fn create(_: &ServiceScope) -> Self {
        Self
    }

    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
