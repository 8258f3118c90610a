//! What a context tells of itself.

use std::collections::BTreeSet;
use std::time::Duration;

use mitogen_service::introspection::{Introspection, ServiceReport};
use mitogen_service::{AllowAny, CallError, Pool, SerializedInvoker, service, testing};

/// Counts.
struct Counted;

/// Is asked.
#[service(name = "introspected", invoker = SerializedInvoker)]
impl Counted {
    /// Says how many.
    #[expose(policy = AllowAny)]
    #[expose(policy = Self::is_fine)]
    fn count(&self, of: String, #[arg(default)] from: u32, note: Option<&str>) -> Result<Vec<u8>, String> {
        let _ = (from, note);
        of.is_empty().then(Vec::new).ok_or(of)
    }

    #[expose(policy = AllowAny, invoker = mitogen_service::ConcurrentInvoker)]
    #[no_reply]
    fn forget(&self) {}

    fn is_fine(&self, _: &mitogen_service::Caller) -> bool {
        true
    }
}

fn named<'a>(services: &'a [ServiceReport], name: &str) -> &'a ServiceReport {
    services.iter().find(|service| service.name == name).unwrap_or_else(|| panic!("no {name} in {services:?}"))
}

#[test]
fn a_context_tells_its_services_and_those_it_would_activate() {
    let (parent, child) = testing::pair();
    let pool = Pool::builder(&child).service(Counted).start().unwrap();
    let about = Introspection::stub(&parent.children()[0]);
    let services = about.services().wait().unwrap();
    let counted = named(&services, "introspected");
    assert_eq!((counted.docs.as_str(), counted.invoker.as_str()), ("Is asked.", "SerializedInvoker"));
    assert!(counted.runs);
    let [count, forget] = &counted.methods[..] else { panic!("{counted:?}") };
    assert_eq!((count.docs.as_str(), count.result.as_str()), ("Says how many.", "Vec<u8>"));
    assert_eq!(count.policies, ["AllowAny", "Self::is_fine"]);
    let arguments: Vec<_> = count.arguments.iter().map(|a| (&*a.name, &*a.type_name, a.default.as_deref())).collect();
    let expected =
        [("of", "String", None), ("from", "u32", Some("Default::default()")), ("note", "Option<&str>", Some("None"))];
    assert_eq!(arguments, expected);
    assert_eq!(forget.invoker.as_deref(), Some("mitogen_service::ConcurrentInvoker"));
    assert!(forget.no_reply);
    // Of the program, marked `activate` and not asked for.
    assert!(!named(&services, "counted").runs);
    assert!(named(&services, "mitogen_service::introspection").runs);
    let names: BTreeSet<_> = services.iter().map(|service| &service.name).collect();
    assert_eq!(names.len(), services.len());
    pool.close(Duration::from_secs(5));
}

#[test]
fn a_context_tells_its_bounds_its_neighbours_and_what_its_pool_has_done() {
    let (parent, child) = testing::pair();
    let pool = Pool::builder(&child).size(3).service(Counted).start().unwrap();
    let context = parent.children().remove(0);
    let about = Introspection::stub(&context);
    let contexts = about.contexts().wait().unwrap();
    assert_eq!((contexts.myself.id, contexts.myself.name.as_str()), (context.id(), "child"));
    assert_eq!(contexts.parents.iter().map(|parent| parent.name.as_str()).collect::<Vec<_>>(), ["root"]);
    assert!(contexts.children.is_empty());
    let bounds = about.bounds().wait().unwrap();
    assert_eq!((bounds.max_message_size, bounds.max_queued_calls), (128 * 1024 * 1024, 65_536));
    assert!(Counted::stub(&context).count("x".to_owned(), 1, None).wait().is_err());
    let told = about.pool().wait().unwrap();
    assert_eq!((told.threads, told.in_flight), (3, 1));
    let count = told.methods.iter().find(|method| method.method == "count").unwrap();
    assert_eq!((count.service.as_str(), count.calls, count.failed), ("introspected", 1, 1));
    pool.close(Duration::from_secs(5));
}

#[test]
fn only_parents_may_ask() {
    let (parent, child) = testing::pair();
    let pool = Pool::builder(&parent).start().unwrap();
    let above = Introspection::stub(&child.parent().unwrap());
    let refused = above.services().wait().unwrap_err();
    assert!(matches!(refused, CallError::Unauthorized { .. }), "{refused:?}");
    // A context itself is its own parent in this.
    assert!(Introspection::stub(&parent.myself()).pool().wait().is_ok());
    pool.close(Duration::from_secs(5));
}
