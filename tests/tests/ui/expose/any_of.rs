use mitogen_service::{AllowParents, AllowSelf, AnyOf, Event, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AnyOf(AllowSelf, AllowParents))]
    fn two(&self) {}

    #[expose(policy = mitogen_service::AnyOf(AllowSelf))]
    fn one(&self) {}

    #[on_message(policy = AnyOf(AllowSelf, AllowParents))]
    fn message(&self, event: Event) {
        drop(event);
    }
}

fn main() {}
