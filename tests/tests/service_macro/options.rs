//! The options of a block and of a type, and services that are made when they are called.

use std::sync::atomic::{AtomicUsize, Ordering};

use mitogen_service::{
    AllowAny, AllowParents, Authorized, ConcurrentInvoker, Invoker, Service, ServiceScope, service, testing,
};

static INVOKED: AtomicUsize = AtomicUsize::new(0);

/// Counts what it runs.
struct Counting {
    by: usize,
}

impl Default for Counting {
    fn default() -> Self {
        Self { by: 1 }
    }
}

impl Invoker for Counting {
    fn invoke(&self, call: Authorized) {
        INVOKED.fetch_add(self.by, Ordering::SeqCst);
        call.run();
    }
}

/// The options stand on the type.
#[derive(Default)]
#[service(name = "counted", invoker = Counting, activate)]
struct Counted;

#[service]
impl Counted {
    #[expose(policy = AllowAny)]
    fn by_one(&self) {}

    #[expose(policy = AllowAny, invoker = Counting { by: 100 })]
    fn by_hundred(&self) {}

    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn by_none(&self) {}
}

/// Made by a function when it is first called.
struct Made {
    by: String,
}

#[service(activate = Self::create)]
impl Made {
    fn create(scope: &ServiceScope) -> Result<Self, &'static str> {
        Ok(Self { by: scope.router().myself().to_string() })
    }

    #[expose(policy = AllowParents)]
    fn by(&self) -> String {
        self.by.clone()
    }
}

/// Cannot be made.
struct Unmade;

#[service(name = "unmade", activate = |_: &ServiceScope| Err("only 0 bytes are free"))]
impl Unmade {
    #[expose(policy = AllowParents)]
    fn by(&self) {}
}

#[test]
fn services_are_activated_by_the_first_call() {
    let (parent, _child) = testing::pair();
    let context = parent.children().remove(0);
    let counted = Counted::stub(&context);
    counted.by_one().wait().unwrap();
    counted.by_hundred().wait().unwrap();
    counted.by_none().wait().unwrap();
    assert_eq!(INVOKED.load(Ordering::SeqCst), 101);
    assert!(!Made::stub(&context).by().wait().unwrap().is_empty());
    let unmade = Unmade::stub(&context).by().wait().unwrap_err();
    assert!(unmade.to_string().contains("only 0 bytes"), "{unmade}");
}

#[test]
fn a_service_is_called_as_its_type_unless_it_says_otherwise() {
    assert_eq!(Made::DESCRIPTOR.name, "service_macro::options::Made");
    assert_eq!(Counted::DESCRIPTOR.name, "counted");
}
