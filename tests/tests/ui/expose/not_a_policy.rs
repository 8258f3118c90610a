use mitogen_service::{Event, service};

struct Nobody;

struct Files;

#[service]
impl Files {
    fn is_open(&self) -> bool {
        true
    }

    #[expose(policy = Nobody)]
    fn another_type(&self) {}

    #[expose(policy = "AllowAny")]
    fn text(&self) {}

    #[expose(policy = Self::is_open)]
    fn no_caller(&self) {}

    #[on_message(policy = Nobody)]
    fn message(&self, event: Event) {
        drop(event);
    }
}

fn main() {}
