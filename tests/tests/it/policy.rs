//! Who may call what, decided in the process that is called.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mitogen_service::{
    AllowAny, AllowParents, AllowSelf, AnyOf, CallError, Caller, Context, Executed, Policy, Pool, service,
};

use mitogen_service_tests::LONG;

use crate::bench::{Bench, Worker};

/// Refuses by a panic.
struct Panics;

impl<S: ?Sized> Policy<S> for Panics {
    fn is_authorized(&self, _service: &S, _caller: &Caller) -> bool {
        panic!("a policy that panics")
    }
}

fn has_even_number<S: ?Sized>(_service: &S, caller: &Caller) -> bool {
    caller.auth_id().to_string().parse::<u32>().unwrap().is_multiple_of(2)
}

/// A method for each policy; each counts that it ran.
#[derive(Default)]
struct Guarded {
    open: AtomicBool,
    runs: AtomicUsize,
}

#[service(activate)]
impl Guarded {
    fn is_open(&self, _caller: &Caller) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    fn ran(&self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
    }

    #[expose(policy = AllowAny)]
    fn any(&self) {
        self.ran();
    }

    #[expose(policy = AllowParents)]
    fn parents(&self) {
        self.ran();
    }

    #[expose(policy = AllowSelf)]
    fn only_myself(&self) {
        self.ran();
    }

    #[expose(policy = AnyOf((AllowSelf, AllowParents)))]
    fn one_of(&self) {
        self.ran();
    }

    #[expose(policy = AllowAny)]
    #[expose(policy = AllowParents)]
    fn all_of(&self) {
        self.ran();
    }

    #[expose(policy = Panics)]
    fn panics(&self) {
        self.ran();
    }

    #[expose(policy = AnyOf((Panics, AllowAny)))]
    fn panics_first(&self) {
        self.ran();
    }

    #[expose(policy = has_even_number)]
    fn even(&self) {
        self.ran();
    }

    #[expose(policy = Self::is_open)]
    fn when_open(&self) {
        self.ran();
    }

    #[expose(policy = |_: &Self, caller: &Caller| caller.is_local())]
    fn closure(&self) {
        self.ran();
    }

    #[expose(policy = AllowParents)]
    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    /// Takes an argument that the refused have wrong.
    #[expose(policy = AllowParents)]
    fn with_argument(&self, number: u32) -> u32 {
        number
    }

    #[expose(policy = AllowAny)]
    fn require_parents(&self, caller: &Caller) -> Result<(), CallError> {
        caller.require(&AllowParents)
    }

    #[expose(policy = AllowAny)]
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Calls a method of its own context.
    #[expose(policy = AllowAny)]
    fn ask_myself(&self, method: String, router: &mitogen_service::Router) -> Result<(), CallError> {
        router.myself().call_service("it::policy::Guarded", &method, &()).wait()
    }
}

const NAME: &str = "it::policy::Guarded";

/// Asks a child by each of three: itself, its parent, its sibling.
fn asked(guarded: &Context, sibling: &Context, method: &str) -> [bool; 3] {
    let before = Guarded::stub(guarded).runs().wait().unwrap();
    let results = [
        Guarded::stub(guarded).ask_myself(method.to_owned()).wait(),
        guarded.call_service(NAME, method, &()).wait(),
        Worker::stub(sibling).ask(guarded.clone(), NAME.to_owned(), method.to_owned()).wait(),
    ];
    let allowed = results.map(|result: Result<(), CallError>| match result {
        Ok(()) => true,
        Err(error @ CallError::Unauthorized { .. }) => {
            assert_eq!(error.to_string(), format!("Caller is not authorized to invoke '{method}' of service '{NAME}'"));
            false
        }
        Err(other) => panic!("{method}: {other:?}"),
    });
    let ran = Guarded::stub(guarded).runs().wait().unwrap() - before;
    assert_eq!(ran, allowed.iter().filter(|allowed| **allowed).count(), "{method}: what is refused does not run");
    allowed
}

#[test]
fn each_policy_lets_in_whom_it_names() {
    let bench = Bench::new();
    let (guarded, sibling) = (bench.child("guarded"), bench.child("sibling"));
    // The ids are 1 and 2; myself, parent, sibling.
    for (method, allowed) in [
        ("any", [true, true, true]),
        ("parents", [true, true, false]),
        ("only_myself", [true, false, false]),
        ("one_of", [true, true, false]),
        ("all_of", [true, true, false]),
        ("panics", [false, false, false]),
        ("panics_first", [false, false, false]),
        ("even", [false, true, true]),
        ("when_open", [false, false, false]),
        ("closure", [true, false, false]),
    ] {
        assert_eq!(asked(&guarded, &sibling, method), allowed, "{method}");
    }
    Guarded::stub(&guarded).set_open(true).wait().unwrap();
    assert_eq!(asked(&guarded, &sibling, "when_open"), [true, true, true], "a policy sees the service");
}

#[test]
fn a_refused_caller_learns_nothing_of_arguments() {
    let bench = Bench::new();
    let (guarded, sibling) = (bench.child("guarded"), bench.child("sibling"));
    Guarded::stub(&guarded).runs().wait().unwrap();
    let error = Worker::stub(&sibling).ask(guarded.clone(), NAME.into(), "with_argument".into()).wait().unwrap_err();
    assert!(matches!(error, CallError::Unauthorized { .. }), "{error:?}");
    let error = guarded.call_service::<()>(NAME, "panics", &()).wait().unwrap_err();
    assert_eq!(error.executed(), Executed::No);
    let error = guarded.call_service::<u32>(NAME, "with_argument", &()).wait().unwrap_err();
    assert!(matches!(error, CallError::ArgMissing { .. }), "{error:?}");
}

#[test]
fn a_method_that_is_not_exposed_cannot_be_called() {
    let bench = Bench::new();
    let guarded = bench.child("guarded");
    for method in ["ran", "is_open", "default", ""] {
        let error = guarded.call_service::<()>(NAME, method, &()).wait().unwrap_err();
        assert!(matches!(error, CallError::NoSuchMethod { .. }), "{error:?}");
    }
}

#[test]
fn a_method_can_ask_a_policy_itself() {
    let bench = Bench::new();
    let (guarded, sibling) = (bench.child("guarded"), bench.child("sibling"));
    Guarded::stub(&guarded).require_parents().wait().unwrap();
    let error = Worker::stub(&sibling).ask(guarded.clone(), NAME.into(), "require_parents".into()).wait().unwrap_err();
    assert!(
        matches!(&error, CallError::Unauthorized { method, service, .. }
            if method == "require_parents" && service == NAME),
        "{error:?}"
    );
}

#[test]
fn the_root_is_no_child_of_its_children() {
    let bench = Bench::new();
    let child = bench.child("child");
    bench.pool.add(Guarded::default()).unwrap();
    let ask = |method: &str| Worker::stub(&child).ask(bench.root(), NAME.into(), method.into()).wait();
    ask("any").unwrap();
    for method in ["parents", "only_myself", "one_of", "all_of"] {
        assert!(matches!(ask(method), Err(CallError::Unauthorized { .. })), "{method}");
    }
}

#[test]
fn a_policy_that_panics_harms_no_thread_of_the_pool() {
    let router = mitogen_service::Router::builder().build().unwrap();
    let pool = Pool::builder(&router).size(1).service(Guarded::default()).start().unwrap();
    let guarded = Guarded::stub(&router.myself());
    for _ in 0..5 {
        assert!(matches!(guarded.panics().wait(), Err(CallError::Unauthorized { .. })));
    }
    guarded.any().wait().unwrap();
    assert!(pool.close(mitogen_service_tests::LONG).is_empty());
}

/// Calls others for its callers.
#[derive(Default)]
struct Agent;

#[service(activate, name = "agent")]
impl Agent {
    /// Who the called one takes the caller for: with the agent's own authority, and with the caller's.
    #[expose(policy = AllowAny)]
    fn ask(&self, whom: Context, caller: &Caller) -> (Result<u32, String>, Result<u32, String>) {
        let stub = Subject::stub(&whom);
        let own = stub.for_parents().wait();
        let lent = stub.on_behalf_of(caller).for_parents().wait();
        (own.map_err(|error| error.to_string()), lent.map_err(|error| error.to_string()))
    }

    #[expose(policy = AllowParents)]
    #[expect(clippy::type_complexity, reason = "the two answers of `ask`")]
    fn let_agent_ask(
        &self,
        agent: Context,
        whom: Context,
    ) -> Result<(Result<u32, String>, Result<u32, String>), CallError> {
        Agent::stub(&agent).ask(whom).wait()
    }
}

/// Tells who it thinks calls.
#[derive(Default)]
struct Subject;

#[service(activate, name = "subject")]
impl Subject {
    #[expose(policy = AllowParents)]
    fn for_parents(&self, caller: &Caller) -> u32 {
        caller.auth_id().get()
    }
}

#[test]
fn speaking_for_a_caller_lowers_the_authority_to_the_callers() {
    let bench = Bench::new();
    let (subject, stranger) = (bench.child("subject"), bench.child("stranger"));
    bench.pool.add(Agent).unwrap();
    let agent = bench.router.myself();
    // Both ways the root itself asks: its authority is lent to itself.
    assert_eq!(Agent::stub(&agent).ask(subject.clone()).wait_timeout(LONG).unwrap(), (Ok(0), Ok(0)));
    // A child asks the root, whose own authority is a parent's; the child's is not.
    let (own, lent) = Agent::stub(&stranger).let_agent_ask(agent, subject).wait_timeout(LONG).unwrap();
    assert_eq!(own, Ok(0));
    assert_eq!(lent, Err("Caller is not authorized to invoke 'for_parents' of service 'subject'".to_owned()));
}

#[test]
fn nobody_speaks_for_those_above() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    // A child, called by the root, would speak to its sibling for the root.
    let (own, lent) = Agent::stub(&one).ask(two).wait_timeout(LONG).unwrap();
    assert!(own.unwrap_err().contains("is not yet activated in this context"));
    let lent = lent.unwrap_err();
    assert!(lent.contains("would not believe that this one speaks for the caller"), "{lent}");
}
