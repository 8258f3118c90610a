//! Mitogen's `tests/service_test.py`: each test is named after its original.
//!
//! The services stand in this file and are activated in real children; siblings are real children
//! as well, and call each other.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mitogen_service::{AllowAny, AllowParents, CallError, Caller, Context, Executed, Pool, Router, Service, service};

/// Upstream's `MyService`.
#[derive(Default)]
struct MyService {
    counter: AtomicU32,
}

#[service(activate)]
impl MyService {
    /// How often it was called, and where the instance is: another instance gives another pair.
    #[expose(policy = AllowParents)]
    fn get_id(&self) -> (u32, usize) {
        (self.counter.fetch_add(1, Ordering::SeqCst) + 1, std::ptr::from_ref(self).addr())
    }

    #[expose(policy = AllowParents)]
    fn double(&self, number: i32) -> i32 {
        2 * number
    }

    #[expose(policy = AllowParents)]
    fn privileged_op(&self) -> String {
        "privileged!".to_owned()
    }

    #[expose(policy = AllowAny)]
    fn unprivileged_op(&self) -> String {
        "unprivileged!".to_owned()
    }
}

/// Upstream's `MyService2`: a second one, that nobody has activated yet.
#[derive(Default)]
struct MyService2;

#[service(activate)]
impl MyService2 {
    #[expose(policy = AllowAny)]
    fn unprivileged_op(&self) -> String {
        "unprivileged!".to_owned()
    }
}

/// Calls its siblings; upstream sends the child a function that does so.
#[derive(Default)]
struct Sibling;

#[service(activate)]
impl Sibling {
    #[expose(policy = AllowParents)]
    fn call(&self, sibling: Context, service: String, method: String) -> Result<String, CallError> {
        sibling.call_service(&service, &method, &()).wait()
    }

    #[expose(policy = AllowParents)]
    fn stop_pool(&self, router: &Router, _caller: &Caller) {
        router.pool().unwrap().stop();
    }
}

fn name_of<S: Service>(_: fn() -> S) -> &'static str {
    S::DESCRIPTOR.name
}

fn my_service() -> &'static str {
    name_of(MyService::default)
}

fn router() -> Router {
    Router::builder().build().unwrap()
}

fn siblings(router: &Router) -> (Context, Context) {
    (router.local().name("one").connect().unwrap(), router.local().name("two").connect().unwrap())
}

fn call_sibling(caller: &Context, callee: &Context, service: &str, method: &str) -> Result<String, CallError> {
    Sibling::stub(caller).call(callee.clone(), service.to_owned(), method.to_owned()).wait()
}

mod call_test {
    use super::*;

    #[test]
    fn test_local() {
        let router = router();
        let pool = Pool::builder(&router).start().unwrap();
        let (number, _) = MyService::stub(&router.myself()).get_id().wait().unwrap();
        assert_eq!(number, 1);
        assert_eq!(pool.close(Duration::from_secs(5)).len(), 0);
    }

    #[test]
    fn test_local_unicode() {
        let router = router();
        let pool = Pool::builder(&router).start().unwrap();
        let service = "it::service_test::MyService";
        assert_eq!(my_service(), service);
        let (number, _): (u32, usize) = router.myself().call_service(service, "get_id", &()).wait().unwrap();
        assert_eq!(number, 1);
        assert_eq!(pool.close(Duration::from_secs(5)).len(), 0);
    }

    #[test]
    fn test_remote() {
        let router = router();
        let child = router.local().connect().unwrap();
        let (number, _) = MyService::stub(&child).get_id().wait().unwrap();
        assert_eq!(number, 1);
    }

    #[test]
    fn test_remote_bad_arg() {
        let router = router();
        let child = router.local().connect().unwrap();
        let bad = std::collections::BTreeMap::from([("number", "text")]);
        let error = child.call_service::<i32>(my_service(), "double", &bad).wait().unwrap_err();
        assert!(matches!(&error, CallError::ArgType { name, .. } if name == "number"), "{error:?}");
        assert!(
            error.to_string().starts_with("Argument 'number' type incorrect, got 'string', expected 'i32'"),
            "{error}"
        );
        assert_eq!(MyService::stub(&child).double(3).wait().unwrap(), 6);
    }
}

mod activation_test {
    use super::*;

    #[test]
    fn test_parent_can_activate() {
        let router = router();
        let child = router.local().connect().unwrap();
        let (number, address) = MyService::stub(&child).get_id().wait().unwrap();
        assert_eq!(number, 1, "a fresh instance");
        assert_ne!(address, 0);
    }

    #[test]
    fn test_activates_only_once() {
        let router = router();
        let child = router.local().connect().unwrap();
        let stub = MyService::stub(&child);
        let (first, address) = stub.get_id().wait().unwrap();
        let (second, same_address) = stub.get_id().wait().unwrap();
        assert_eq!((first, second), (1, 2), "the state is kept");
        assert_eq!(address, same_address, "it is the same instance");
    }

    #[test]
    fn test_sibling_cannot_activate_framework() {
        let router = router();
        let (one, two) = siblings(&router);
        // The same whether or not services run there yet, and it does not make them run.
        let call = || call_sibling(&two, &one, my_service(), "unprivileged_op").unwrap_err();
        let before = [call(), call()];
        MyService2::stub(&one).unprivileged_op().wait().unwrap();
        for error in before.into_iter().chain([call()]) {
            assert!(matches!(&error, CallError::NotActivated { service, .. } if service == my_service()), "{error:?}");
            assert!(error.to_string().contains("the caller is not privileged"), "{error}");
            assert_eq!((error.path(), error.executed()), (&["two".to_owned(), "one".to_owned()][..], Executed::Yes));
        }
    }

    #[test]
    fn test_sibling_cannot_activate_service() {
        let router = router();
        let (one, two) = siblings(&router);
        MyService::stub(&one).get_id().wait().unwrap();
        let not_there = name_of(|| MyService2);
        let error = call_sibling(&two, &one, not_there, "unprivileged_op").unwrap_err();
        assert!(matches!(&error, CallError::NotActivated { service, .. } if service == not_there), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "Service '{not_there}' is not yet activated in this context, and the caller is not privileged, \
                 therefore autoactivation is disabled."
            )
        );
        // It was not made on the way to the refusal.
        assert!(matches!(call_sibling(&two, &one, not_there, "unprivileged_op"), Err(CallError::NotActivated { .. })));
        MyService2::stub(&one).unprivileged_op().wait().unwrap();
        assert_eq!(call_sibling(&two, &one, not_there, "unprivileged_op").unwrap(), "unprivileged!");
    }
}

mod permission_test {
    use super::*;

    #[test]
    fn test_sibling_unprivileged_ok() {
        let router = router();
        let (one, two) = siblings(&router);
        MyService::stub(&one).get_id().wait().unwrap();
        assert_eq!(call_sibling(&two, &one, my_service(), "unprivileged_op").unwrap(), "unprivileged!");
    }

    #[test]
    fn test_sibling_privileged_bad() {
        let router = router();
        let (one, two) = siblings(&router);
        MyService::stub(&one).get_id().wait().unwrap();
        let error = call_sibling(&two, &one, my_service(), "privileged_op").unwrap_err();
        assert!(matches!(error, CallError::Unauthorized { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("Caller is not authorized to invoke 'privileged_op' of service '{}'", my_service())
        );
        assert_eq!(MyService::stub(&one).privileged_op().wait().unwrap(), "privileged!");
    }
}

mod close_test {
    use super::*;

    #[test]
    fn test_receiver_closed() {
        let router = router();
        let child = router.local().connect().unwrap();
        Sibling::stub(&child).stop_pool().wait().unwrap();
        let error = MyService::stub(&child).get_id().wait().unwrap_err();
        assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
        assert!(error.to_string().contains("invalid handle"), "{error}");
        assert!(child.is_connected());
    }
}
