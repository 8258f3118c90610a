use mitogen_service::{AllowParents, Event, ServiceScope, service};

struct Files;

#[service]
impl Files {
    #[on_init]
    fn start(&self, scope: &ServiceScope) {
        let _ = scope;
    }

    #[on_message_received(policy = AllowParents)]
    fn message(&self, event: Event) {
        drop(event);
    }

    #[on_stop]
    fn stop(&self) {}
}

fn main() {}
