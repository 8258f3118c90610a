//! What contexts log arrives in the root's subscriber, with names, paths and levels.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, mpsc};

use mitogen_service::Router;
use mitogen_service_tests::{LONG as SOON, within};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::{Home, LONG, Probe, Seen, alone};
use crate::world::{PASSWORD, ROOT_PASSWORD, World};

/// The subscriber of this test's process; there can be one.
struct Listening {
    events: Mutex<mpsc::Sender<Seen>>,
    max: Level,
}

impl Subscriber for Listening {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.max
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.max))
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
        let _ = self.events.lock().unwrap().send((level, target, fields.0));
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

/// What is seen up to a level, until there is an event with `last`.
fn seen_by_the_root(max: Level, last: &str, act: impl FnOnce(&Router)) -> Vec<Seen> {
    let (sender, events) = mpsc::channel();
    let listening = Listening { events: Mutex::new(sender), max };
    // The log thread of a router is not this one, so it has to be the global one.
    tracing::dispatcher::set_global_default(tracing::Dispatch::from(Arc::new(listening))).unwrap();
    let router = Router::builder().build().unwrap();
    act(&router);
    let mut seen = Vec::new();
    while let Ok(event) = events.recv_timeout(SOON) {
        let is_last = event.2.iter().any(|(_, value)| value.contains(last));
        seen.push(event);
        if is_last {
            return seen;
        }
    }
    panic!("the last event has not come: {seen:?}");
}

#[test]
fn events_of_far_contexts_come_to_the_subscriber_of_the_root() {
    if !alone("logs::events_of_far_contexts_come_to_the_subscriber_of_the_root") {
        return;
    }
    within(LONG, || {
        let home = Home::new();
        let seen = seen_by_the_root(Level::INFO, "the last one", |router| {
            let hop = router.command(home.command()).name("hop").connect().unwrap();
            let far = router.local().name("far").via(&hop).connect().unwrap();
            Probe::stub(&far).log("hello".to_owned()).wait().unwrap();
            Probe::stub(&far).log("the last one".to_owned()).wait().unwrap();
        });
        let texts: Vec<_> = seen
            .iter()
            .filter(|(_, target, _)| target == "mitogen_service::forwarded")
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

/// Neither at the level that tells everything, nor in the command lines and environments of what is run.
#[test]
fn no_password_is_logged_or_shown() {
    if !alone("logs::no_password_is_logged_or_shown") {
        return;
    }
    within(LONG, || {
        const WRONG: &str = "not the right one";
        let Some(world) = World::new() else { return };
        let dir = world.path().display();
        std::fs::set_permissions(world.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let shown = |name: &str, program: &str| {
            let show = format!("{{ printf '%s\\n' \"$@\"; env; }} >{dir}/shown.{name}.$$");
            world.script(&format!("showing-{name}"), &format!("{show}\nexec {program} \"$@\"\n"))
        };
        let (ssh, sudo, su) = (shown("ssh", &format!("{dir}/ssh")), shown("sudo", "sudo"), shown("su", "su"));
        let seen = seen_by_the_root(Level::TRACE, "the last one", |router| {
            let joe = world.user(router, "joe");
            for (password, of_root) in [(WRONG, WRONG), (PASSWORD, ROOT_PASSWORD)] {
                let far = world.ssh(router, "joe").ssh_path(&ssh).option("PubkeyAuthentication=no");
                let far = far.option("LogLevel=DEBUG3").password(password).connect();
                let root = router.sudo().sudo_path(&sudo).password(password).via(&joe).connect();
                let other = router.su().su_path(&su).password(of_root).via(&joe).connect();
                for connected in [far, root, other] {
                    assert_eq!(connected.is_ok(), password == PASSWORD, "{connected:?}");
                    let text = format!("{connected:?}");
                    assert!(!text.contains(password) && !text.contains(of_root), "{text}");
                }
            }
            Probe::stub(&joe).log("the last one".to_owned()).wait().unwrap();
        });
        assert!(seen.iter().any(|(_, _, fields)| fields.iter().any(|(_, value)| value.contains("debug3: "))));
        for secret in [WRONG, PASSWORD, ROOT_PASSWORD] {
            for event in &seen {
                assert!(!format!("{event:?}").contains(secret), "{event:?}");
            }
            let files = std::fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().path());
            let files: Vec<_> = files.filter(|path| path.to_str().unwrap().contains("/shown.")).collect();
            assert!(files.len() >= 6, "{files:?}");
            for file in files {
                let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
                assert!(text.contains("PATH=") && !text.contains(secret), "{}: {text}", file.display());
            }
        }
    });
}
