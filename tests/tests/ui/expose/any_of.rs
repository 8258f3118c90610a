use mitogen_service::{AllowParents, AllowSelf, AnyOf, Caller, Event, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AnyOf(AllowSelf, AllowParents))]
    fn two(&self) {}

    #[expose(policy = mitogen_service::AnyOf(AllowSelf))]
    fn one(&self) {}

    #[expose(policy = AnyOf(()))]
    fn none(&self) {}

    #[expose(policy = AnyOf((AllowSelf, AnyOf((AllowParents(), Self::is_open(caller))))))]
    fn called(&self) {}

    #[on_message(policy = AnyOf(AllowSelf, AllowParents))]
    fn message(&self, event: Event) {
        drop(event);
    }

    fn is_open(&self, _: &Caller) -> bool {
        true
    }
}

fn main() {}
