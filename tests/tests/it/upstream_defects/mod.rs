//! What is known to be wrong in Mitogen, and what happens here instead. The numbers are those of the
//! table in docs/parity.md.

mod calls;
mod ends;
mod peer;
mod routes;
mod services;

use mitogen_service::{AllowAny, AllowParents, Call, Caller, Context, Pool, Router, service};
use mitogen_service_tests::LONG;

pub(crate) use peer::Peer;

fn root() -> Router {
    Router::builder().build().unwrap()
}

/// A call of whoever is there, which a peer can answer with a text.
fn ask(whom: &Context) -> Call<String> {
    whom.call_service("any", "thing", &())
}

/// Says of itself who may call it.
#[derive(Default)]
struct Guarded;

#[service(name = "guarded")]
impl Guarded {
    #[expose(policy = AllowAny)]
    fn open(&self) -> String {
        "open".to_owned()
    }

    #[expose(policy = AllowParents)]
    fn for_parents(&self) {}

    #[expose(policy = |_: &Self, _: &Caller| panic!("a policy that panics"))]
    fn panicking(&self) {}
}

fn pool(router: &Router) -> Pool {
    Pool::builder(router).size(1).service(Guarded).start().unwrap()
}

/// The only thread of the pool answers.
fn assert_serves(router: &Router) {
    assert_eq!(Guarded::stub(&router.myself()).open().wait_timeout(LONG).unwrap(), "open");
}
