use mitogen_service::{AllowSelf, AnyOf, Caller, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = |caller| caller.is_local())]
    fn no_service(&self) {}

    #[expose(policy = || true)]
    fn nothing(&self) {}

    #[expose(policy = async |_, _| true)]
    fn later(&self) {}

    #[expose(policy = |_, _| -> Result<(), String> { Ok(()) })]
    fn named_result(&self) {}

    #[expose(policy = |_, caller: Caller| caller.is_local())]
    fn caller_by_value(&self) {}

    #[expose(policy = AnyOf((AllowSelf, |caller| caller.is_local(), !AllowSelf)))]
    fn in_a_tuple(&self) {}
}

struct Doors;

#[service]
impl Doors {
    #[expose(policy = |_, caller| caller.is_local().then_some(()))]
    fn option(&self) {}

    #[expose(policy = |name: &str, _| name.is_empty())]
    fn another_service(&self) {}

    #[expose(policy = |_, user: &u32| *user == 0)]
    fn another_caller(&self) {}

    #[expose(policy = AnyOf((AllowSelf, |_, user: &u32| *user == 0, |_, _| 1)))]
    fn in_a_tuple(&self) {}
}

fn main() {}
