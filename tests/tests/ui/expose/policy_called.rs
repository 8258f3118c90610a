use mitogen_service::{AllowAny, AllowParents, Caller, Policy, service};

struct Files;

#[service]
impl Files {
    fn is_admin(&self, _: &Caller) -> bool {
        true
    }

    /// Makes a policy, so it has to be called.
    fn anybody() -> impl Policy<Self> {
        AllowAny
    }

    #[expose(policy = Self::is_admin())]
    fn called(&self) {}

    #[expose(policy = Self::is_admin(&self, caller))]
    fn with_arguments(&self) {}

    #[expose(policy = self.is_admin(caller))]
    fn on_self(&self) {}

    #[expose(policy = AllowParents())]
    fn no_function(&self) {}

    #[expose(policy = Self::anybody())]
    fn fine(&self) {}
}

fn main() {}
