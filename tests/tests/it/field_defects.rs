//! What was broken in Mitogen's service framework by reading its code, one test each of what happens here.

use std::sync::Mutex;

use mitogen_service::{
    Activator, AllowAny, CallError, Caller, Hosted, Pool, Router, SerializedInvoker, Service, ServiceScope, service,
    testing,
};
use mitogen_service_tests::LONG;

#[derive(Default)]
struct Serial(Mutex<Vec<u32>>);

#[service(name = "field serial", invoker = SerializedInvoker)]
impl Serial {
    #[expose(policy = AllowAny)]
    fn add(&self, number: u32) -> Result<usize, String> {
        if number == 13 {
            panic!("thirteen");
        }
        if number % 2 == 1 {
            return Err(format!("{number} is odd"));
        }
        let mut numbers = self.0.lock().map_err(|_| "poisoned")?;
        numbers.push(number);
        Ok(numbers.len())
    }
}

/// In Mitogen an exception becomes "Channel closed by remote end." under the serialized invoker.
#[test]
fn an_error_or_a_panic_of_a_serialized_method_reaches_its_caller_and_the_queue_goes_on() {
    let (parent, child) = testing::pair();
    let pool = Pool::builder(&child).size(2).service(Serial::default()).start().unwrap();
    let stub = Serial::stub(&parent.children()[0]);
    let calls: Vec<_> = (0..20).map(|number| (number, stub.add(number))).collect();
    let mut added = 0;
    for (number, call) in calls {
        match call.wait_timeout(LONG) {
            Ok(count) => {
                added += 1;
                assert_eq!(count, added, "in the order of arrival");
            }
            Err(CallError::Panicked { message, .. }) => assert_eq!((number, message.as_str()), (13, "thirteen")),
            Err(error) => assert_eq!(error.to_string(), format!("{number} is odd")),
        }
    }
    assert_eq!(added, 10);
    assert_eq!(*pool.get_service::<Serial>().unwrap().0.lock().unwrap(), (0..20).step_by(2).collect::<Vec<_>>());
}

#[expect(clippy::ptr_arg, reason = "a check is given the argument by its type")]
fn is_short(text: &String) -> bool {
    text.len() < 5
}

struct Checked;

#[service(name = "field checked")]
impl Checked {
    #[expose(policy = AllowAny)]
    #[arg_spec(note(check = is_short))]
    fn take(&self, count: u32, note: Option<String>) -> u32 {
        count + note.map_or(0, |note| note.len() as u32)
    }

    #[expose(policy = Self::nobody)]
    fn guarded(&self, count: u32) -> u32 {
        count
    }

    fn nobody(&self, _: &Caller) -> bool {
        false
    }
}

/// Mitogen checks the arguments that are required, and no others; an unknown one is a `TypeError` that names a
/// function inside of the framework.
#[test]
fn optional_arguments_are_checked_too_and_unknown_ones_are_named() {
    let router = Router::builder().build().unwrap();
    Pool::builder(&router).size(1).service(Checked).start().unwrap();
    let stub = Checked::stub(&router.myself());
    assert_eq!(stub.take(1, Some("four".into())).wait().unwrap(), 5);
    let error = stub.take(1, Some("fifth".into())).wait().unwrap_err();
    assert!(matches!(&error, CallError::ArgInvalid { name, .. } if name == "note"), "{error:?}");
    let me = router.myself();
    let wrong = std::collections::BTreeMap::from([("count", 1), ("note", 2)]);
    let error = me.call_service::<u32>("field checked", "take", &wrong).wait().unwrap_err();
    assert!(matches!(&error, CallError::ArgType { name, .. } if name == "note"), "{error:?}");
    let unknown = std::collections::BTreeMap::from([("count", 1), ("nite", 2)]);
    let error = me.call_service::<u32>("field checked", "take", &unknown).wait().unwrap_err();
    assert_eq!(error.to_string(), "Argument 'nite' is unknown; the method takes count, note");
}

/// Mitogen decodes the payload first, and asks the policy then.
#[test]
fn the_policy_is_asked_before_any_argument_is_decoded() {
    let router = Router::builder().build().unwrap();
    Pool::builder(&router).size(1).service(Checked).start().unwrap();
    // Nothing of these arguments is right.
    let wrong = std::collections::BTreeMap::from([("what", "is this")]);
    let error = router.myself().call_service::<u32>("field checked", "guarded", &wrong).wait().unwrap_err();
    assert!(matches!(error, CallError::Unauthorized { .. }), "{error:?}");
}

/// Looks at its own pool while it makes a service, which needs the pool's locks.
struct Curious;

impl Activator for Curious {
    fn activate(&self, name: &str, scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        let pool = scope.router().pool()?;
        assert!(pool.service_named(name).is_none() && pool.stats().queued == 0);
        pool.add(Checked).ok()?;
        let answer = Checked::stub(&scope.router().myself()).take(1, None).wait_timeout(LONG);
        assert_eq!(answer, Ok(1));
        (name == Serial::DESCRIPTOR.name).then(|| Ok(Hosted::new(Serial::default())))
    }
}

/// Mitogen imports the module of a service while it holds the lock of the pool.
#[test]
fn a_service_is_made_without_any_lock_of_the_pool() {
    let router = Router::builder().build().unwrap();
    Pool::builder(&router).size(2).activator(Curious).start().unwrap();
    let mut call = Serial::stub(&router.myself()).add(2);
    assert_eq!(call.try_wait(LONG).expect("it does not hang"), Ok(1));
}
