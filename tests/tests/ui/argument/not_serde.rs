#![allow(unused_variables)]

use std::sync::Arc;
use std::time::Instant;

use mitogen_service::{AllowAny, Context, DeduplicatingInvoker, service};
use serde::Serialize;

struct Opaque;

#[derive(Clone, Serialize)]
struct OneWay;

struct Files;

#[service(invoker = DeduplicatingInvoker)]
impl Files {
    #[expose(policy = AllowAny)]
    fn opaque(&self, value: Opaque) {}

    #[expose(policy = AllowAny)]
    fn one_way(&self, value: OneWay) {}

    #[expose(policy = AllowAny)]
    fn inside(&self, values: Vec<Option<Opaque>>) {}

    #[expose(policy = AllowAny)]
    fn foreign(&self, since: std::time::Instant, shared: Arc<str>) {}
}

// None of this is a second mistake.
fn used(context: &Context) {
    let files = Files::stub(context);
    let _ = (files.opaque(Opaque), files.one_way(OneWay), files.inside(vec![]));
    let _ = files.foreign(Instant::now(), "".into());
}

fn main() {}
