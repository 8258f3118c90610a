#![allow(unused_variables)]

use mitogen_service::{AllowAny, Event, Router, ServiceScope, service};

struct Handed;

#[service]
impl Handed {
    #[on_start]
    fn start(&self, router: &Router) {}

    #[on_message(policy = AllowAny)]
    fn message(&self, event: &Event) {}
}

struct Owned;

#[service]
impl Owned {
    #[on_start]
    fn start(&self, scope: ServiceScope) {}

    #[on_message(policy = AllowAny)]
    fn message(&self, router: &Router) {}
}

struct Unlike;

#[service]
impl Unlike {
    #[on_start]
    fn start(&self, size: &u32) {}

    #[on_message(policy = AllowAny)]
    fn message(&self, text: String) {}
}

fn main() {}
