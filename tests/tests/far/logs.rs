//! What contexts log arrives in the root's subscriber, with names, paths and levels.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, mpsc};

use mitogen_service::Router;
use mitogen_service_tests::{LONG as SOON, within};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::{Home, LONG, Probe, Seen};

/// The subscriber of this test's process; there can be one.
struct Listening(Mutex<mpsc::Sender<Seen>>);

impl Subscriber for Listening {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, target) = (event.metadata().level().to_string(), event.metadata().target().to_owned());
        let _ = self.0.lock().unwrap().send((level, target, fields.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }
}

/// Runs in a child of its own, which is the root of a tree: a process has one subscriber, and other
/// tests shall not be disturbed. Gives what was seen of the target, until there is an event with `last`.
pub(crate) fn root_with_subscriber(target: &str, last: &str, act: impl FnOnce(&Router)) -> Vec<Seen> {
    let (sender, events) = mpsc::channel();
    let listening = Arc::new(Listening(Mutex::new(sender)));
    let dispatch = tracing::Dispatch::from(listening);
    // The log thread of a router is not this one, so it has to be the global one.
    if tracing::dispatcher::set_global_default(dispatch).is_err() {
        return Vec::new();
    }
    let router = Router::builder().build().unwrap();
    act(&router);
    let mut seen = Vec::new();
    while let Ok(event) = events.recv_timeout(SOON) {
        let is_last = event.2.iter().any(|(_, value)| value.contains(last));
        if event.1 == target {
            seen.push(event);
        }
        if is_last {
            break;
        }
    }
    seen
}

#[test]
fn events_of_far_contexts_come_to_the_subscriber_of_the_root() {
    // In a process of its own: this test binary again, with this test alone.
    const ALONE: &str = "MITOGEN_SERVICE_TEST_LOGS";
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "logs::events_of_far_contexts_come_to_the_subscriber_of_the_root", "--nocapture"])
            .env(ALONE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    within(LONG, || {
        let home = Home::new();
        let seen = root_with_subscriber("mitogen_service::forwarded", "the last one", |router| {
            let hop = router.command(home.command()).name("hop").connect().unwrap();
            let far = router.local().name("far").via(&hop).connect().unwrap();
            Probe::stub(&far).log("hello".to_owned()).wait().unwrap();
            Probe::stub(&far).log("the last one".to_owned()).wait().unwrap();
        });
        let texts: Vec<_> = seen
            .iter()
            .map(|(level, _, fields)| {
                let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
                format!("{level} {} {} {} {}", field("context"), field("path"), field("origin"), field("message"))
            })
            .collect();
        // The debug event was not wanted, and the secret argument stands nowhere.
        assert_eq!(
            texts,
            [
                "WARN far root/hop/far far::support hello number=3",
                "INFO far root/hop/far far::support hello again",
                "WARN far root/hop/far far::support the last one number=3",
            ]
        );
    });
}
