#![deny(warnings)]

use mitogen_service::{AllowAny, AllowParents, AllowSelf, Event, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = [AllowSelf, AllowParents])]
    fn array(&self) {}

    #[expose(policy = (AllowSelf, AllowParents))]
    fn tuple(&self) {}

    #[expose(policy = [AllowSelf])]
    fn one(&self) {}

    #[expose(policy = [])]
    fn none(&self) {}

    #[expose(policy = AllowSelf && AllowParents && AllowAny)]
    fn and(&self) {}

    #[expose(policy = AllowSelf || AllowParents)]
    fn or(&self) {}

    #[expose(policy = AllowSelf | AllowParents)]
    fn bits(&self) {}

    #[on_message(policy = [AllowSelf, AllowParents])]
    fn message(&self, event: Event) {
        drop(event);
    }
}

fn main() {}
