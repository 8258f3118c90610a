//! What may stand at `policy`.

use std::ops::BitOr;
use std::sync::atomic::{AtomicBool, Ordering};

use mitogen_service::{AllowAny, AllowSelf, AnyOf, CallError, Caller, Policy, service};

use crate::Served;

/// Is open or not, whatever the caller.
#[derive(Default)]
struct Door {
    open: AtomicBool,
}

impl Door {
    fn is_open(&self, _: &Caller) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Makes a policy, so it has to be called.
    fn opened() -> Opened {
        Opened
    }
}

fn is_open(door: &Door, caller: &Caller) -> bool {
    door.is_open(caller)
}

fn is_there<S, C>(_: &S, _: &C) -> bool {
    true
}

const POINTER: fn(&Door, &Caller) -> bool = is_open;

struct Opened;

impl Policy<Door> for Opened {
    fn is_authorized(&self, door: &Door, caller: &Caller) -> bool {
        door.is_open(caller)
    }
}

impl BitOr for Opened {
    type Output = Self;

    fn bitor(self, _: Self) -> Self {
        self
    }
}

#[service]
impl Door {
    #[expose(policy = AllowAny)]
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    #[expose(policy = Self::is_open, policy = is_there, policy = is_there::<Door, _>)]
    fn by_path(&self) {}

    #[expose(policy = POINTER)]
    fn by_pointer(&self) {}

    #[expose(policy = Opened | Opened)]
    fn by_operator(&self) {}

    #[expose(policy = Self::opened())]
    fn by_maker(&self) {}

    #[expose(policy = { Opened })]
    fn by_block(&self) {}

    #[expose(policy = |door, caller| door.is_open(caller))]
    fn by_closure(&self) {}

    #[expose(policy = |door: &Self, caller: &Caller| -> bool { return door.is_open(caller) })]
    fn by_closure_with_types(&self) {}

    #[expose(policy = |door, _| if door.open.load(Ordering::SeqCst) { true } else { panic!("it is closed") })]
    fn by_panic(&self) {}

    #[expose(policy = AnyOf((AllowSelf, Self::is_open)))]
    fn by_tuple(&self) {}

    #[expose(policy = AnyOf((|_, caller| caller.is_local(), AnyOf((|door: &Self, caller: &Caller| door.is_open(caller),)))))]
    fn by_tuple_of_closures(&self) {}
}

#[test]
fn every_expression_that_is_a_policy_may_stand_there() {
    let served = Served::new(Door::default());
    let door = Door::stub(&served.context);
    let calls = || {
        [
            door.by_path(),
            door.by_pointer(),
            door.by_operator(),
            door.by_maker(),
            door.by_block(),
            door.by_closure(),
            door.by_closure_with_types(),
            door.by_panic(),
            door.by_tuple(),
            door.by_tuple_of_closures(),
        ]
    };
    for (number, call) in calls().into_iter().enumerate() {
        let refused = call.wait();
        assert!(matches!(refused, Err(CallError::Unauthorized { .. })), "call {number}: {refused:?}");
    }
    door.open().wait().unwrap();
    for call in calls() {
        call.wait().unwrap();
    }
}
