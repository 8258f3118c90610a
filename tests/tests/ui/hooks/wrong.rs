//! Methods that run by themselves, written in ways that cannot be called.

use mitogen_service::{AllowAny, Event, ServiceScope, service};

struct Clock;

#[service]
impl Clock {
    #[on_start]
    fn begin(&mut self, scope: &ServiceScope) {
        let _ = scope;
    }

    #[on_message]
    fn take(&self, event: Event) {
        let _ = event;
    }

    #[on_shutdown]
    fn end(&self) -> u32 {
        7
    }

    #[on_shutdown(policy = AllowAny)]
    #[expose(policy = AllowAny)]
    fn end_again(&self) {}

    #[on_message(polcy = AllowAny)]
    fn misspelt(&self, event: Event) {
        let _ = event;
    }
}

struct Aliased;

type StartResult = Result<(), String>;

#[service]
impl Aliased {
    #[on_start]
    fn begin(&self) -> StartResult {
        Ok(())
    }
}

struct Twice;

#[service]
impl Twice {
    #[on_start]
    fn begin(&self) {}

    #[on_start]
    fn begin_again(&self) {}

    #[on_start]
    #[on_shutdown]
    fn both(&self) {}
}

fn main() {}
