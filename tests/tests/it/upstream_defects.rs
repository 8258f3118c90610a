//! What is known to be wrong in Mitogen, and what happens here instead. The numbers are those of the
//! table in docs/parity.md.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use mitogen_service::{
    Activator, AllowAny, AllowParents, Call, CallError, Caller, Context, ContextId, DeadlineBy, Hosted, Pool, Router,
    ServiceScope, service, testing,
};
use mitogen_service_tests::{LONG, Watched, within};

use crate::bench::{Bench, Worker};

const ADD_ROUTE: u32 = 103;
const DEL_ROUTE: u32 = 104;
const ALLOCATE_ID: u32 = 105;
/// LOAD_MODULE, on which nobody listens.
const NOT_USED: u32 = 107;
const CALL_SERVICE: u32 = 110;
const CANCEL: u32 = 122;
const FORWARD_LOG: u32 = 102;

/// The value of `reply_to` that makes a message a dead one.
const DEAD: u32 = 999;

/// A child that says what it wants, as docs/protocol.md has it.
pub(crate) struct Peer {
    socket: UnixStream,
    me: Context,
    /// The router that it is a child of.
    parent: u32,
}

/// A message as the peer gets it.
pub(crate) struct Frame {
    src: u32,
    handle: u32,
    reply_to: u32,
    pub(crate) payload: Vec<u8>,
}

impl Peer {
    pub(crate) fn join(router: &Router, name: &str) -> Self {
        let (ours, mut socket) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        // Version 1, understands CANCEL, reads MessagePack, process 1.
        socket.write_all(b"MGSV\0\x01\0\0\0\0\0\x01\0\0\0\x14\x82\xa9encodings\x91\xcd\x4d\x50\xa3pid\x01").unwrap();
        let me = testing::join(router, name, ours).unwrap();
        let mut head = [0; 16];
        socket.read_exact(&mut head).unwrap();
        socket.read_exact(&mut vec![0; number(&head[12..]) as usize]).unwrap();
        Self { socket, me, parent: router.myself().id().get() }
    }

    fn id(&self) -> u32 {
        self.me.id().get()
    }

    /// Writes a message under any ids: `[dst, src, auth, handle, reply_to]`.
    fn forge(&mut self, fields: [u32; 5], payload: &[u8]) {
        let mut frame = vec![0x4d, 0x50];
        for field in fields.into_iter().chain([payload.len() as u32]) {
            frame.extend(field.to_be_bytes());
        }
        frame.extend(payload);
        self.socket.write_all(&frame).unwrap();
    }

    /// Sends a message to the parent's router, under the peer's own id.
    pub(crate) fn send(&mut self, handle: u32, reply_to: u32, payload: &[u8]) {
        let (parent, me) = (self.parent, self.id());
        self.forge([parent, me, me, handle, reply_to], payload);
    }

    pub(crate) fn next(&mut self) -> Frame {
        let mut head = [0; 26];
        self.socket.read_exact(&mut head).expect("a message comes");
        let [_, src, _, handle, reply_to, length] = std::array::from_fn(|at| number(&head[2 + 4 * at..]));
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Frame { src, handle, reply_to, payload }
    }

    /// The text of the dead message that comes next, for a handle of the peer's.
    fn refusal(&mut self, handle: u32) -> String {
        let frame = self.next();
        assert_eq!((frame.handle, frame.reply_to), (handle, DEAD), "{:?}", frame.payload);
        String::from_utf8_lossy(&frame.payload).into_owned()
    }

    /// Returns when the router has seen everything that was sent until now: it answers in order.
    fn settle(&mut self) {
        self.settle_at(self.parent);
    }

    /// Returns when a context has seen everything that followed there from what was sent until now.
    fn settle_at(&mut self, id: u32) {
        let me = self.id();
        self.forge([id, me, me, NOT_USED, 1_000_000], &[]);
        assert!(self.refusal(1_000_000).contains("invalid handle"));
    }

    /// Asks for ids; gives the first of them, or the text of the refusal.
    fn allocate(&mut self) -> Result<u32, String> {
        self.send(ALLOCATE_ID, 5000, &[]);
        let frame = self.next();
        assert_eq!(frame.handle, 5000);
        if frame.reply_to == DEAD {
            return Err(String::from_utf8_lossy(&frame.payload).into_owned());
        }
        // `[start, end]`
        Ok(unpacked(&frame.payload[1..]))
    }

    fn add_route(&mut self, id: u32, name: &str) {
        self.send(ADD_ROUTE, 0, &[&[0x92][..], &packed(id), &text(name)].concat());
    }

    fn del_route(&mut self, id: u32) {
        self.send(DEL_ROUTE, 0, &[&[0x92][..], &packed(id), &[0xc0]].concat());
    }

    /// Answers a call with a text.
    fn answer(&mut self, call: &Frame, answer: &str) {
        self.forge([call.src, self.id(), self.id(), call.reply_to, 0], &[&[0x92, 0][..], &text(answer)].concat());
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// A number in MessagePack.
fn packed(number: u32) -> Vec<u8> {
    [&[0xce][..], &number.to_be_bytes()].concat()
}

/// A number that stands in MessagePack in its shortest form.
fn unpacked(bytes: &[u8]) -> u32 {
    match bytes[0] {
        0xce => number(&bytes[1..]),
        0xcd => u16::from_be_bytes([bytes[1], bytes[2]]).into(),
        0xcc => bytes[1].into(),
        small => small.into(),
    }
}

/// A short text in MessagePack.
fn text(text: &str) -> Vec<u8> {
    [&[0xa0 | text.len() as u8][..], text.as_bytes()].concat()
}

/// The payload of a call without arguments.
fn call(service: &str, method: &str) -> Vec<u8> {
    [&[0x94][..], &text(service), &text(method), &[0xc0, 0x80]].concat()
}

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

// B1
#[test]
fn routes_are_believed_only_for_ids_that_the_announcing_subtree_was_given() {
    let (root, below) = testing::pair();
    let mut victim = Peer::join(&below, "victim");
    let mut liar = Peer::join(&below, "liar");
    let (of_victim, of_liar) = (victim.allocate().unwrap(), liar.allocate().unwrap());
    victim.add_route(of_victim, "below victim");
    victim.settle_at(0);
    // The parent, the router itself, the liar, its sibling, what is below that, what only it may
    // announce, what follows the liar's block, what nobody was given.
    let stolen = [0, 1, liar.id(), victim.id(), of_victim, of_victim + 1, of_liar + 1000, 4_000_000_000];
    for id in stolen {
        liar.add_route(id, "stolen");
    }
    liar.add_route(of_liar, "below liar");
    liar.settle_at(0);
    // What is meant for the victim and those below it comes to the victim.
    for id in [victim.id(), of_victim] {
        let pending = ask(&below.context_by_id(ContextId::new(id)));
        let frame = victim.next();
        assert_eq!(frame.handle, CALL_SERVICE);
        drop(pending);
        assert_eq!(victim.next().handle, CANCEL);
    }
    let error = ask(&root.context_by_id(ContextId::new(4_000_000_000))).wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no route to 4000000000"), "{error}");
    assert_eq!(root.context_by_id(ContextId::new(of_victim)).name(), "below victim");
    assert_eq!(root.context_by_id(ContextId::new(of_liar)).name(), "below liar");
    // The one that it may announce is reached through it, and nothing else came to it before.
    drop(ask(&root.context_by_id(ContextId::new(of_liar))));
    assert_eq!(liar.next().handle, CALL_SERVICE);
}

// B1
#[test]
fn authority_does_not_follow_from_routes() {
    let (_root, below) = testing::pair();
    let pool = pool(&below);
    let mut liar = Peer::join(&below, "liar");
    let own = liar.allocate().unwrap();
    for id in [0, 1, own] {
        liar.add_route(id, "root");
    }
    // With a parent's authority, or in its name, it says nothing: these are not answered.
    for (src, auth) in [(liar.id(), 0), (liar.id(), 1), (0, 0), (1, 1)] {
        liar.forge([1, src, auth, CALL_SERVICE, 6000], &call("guarded", "for_parents"));
    }
    // A name for a context below it gives that no more than the liar has.
    for (src, auth, handle) in [(own, own, 6001), (liar.id(), own, 6002), (liar.id(), liar.id(), 6003)] {
        liar.forge([1, src, auth, CALL_SERVICE, handle], &call("guarded", "for_parents"));
        let frame = liar.next();
        assert_eq!(frame.handle, handle);
        assert!(String::from_utf8_lossy(&frame.payload).contains("Unauthorized"), "{:?}", frame.payload);
    }
    assert!(pool.close(LONG).is_empty());
}

// B2
#[test]
fn no_message_whatever_ends_a_thread_of_the_pool() {
    let router = root();
    let pool = pool(&router);
    let mut peer = Peer::join(&router, "peer");
    let payloads =
        [vec![], vec![0xc1], vec![0xc0], vec![0x94, 0xc0, 0xc0, 0xc0, 0xc0], call("guarded", "open"), vec![0x91; 300]];
    for handle in 0..1100 {
        for reply_to in [0, 1, DEAD, 70_000] {
            for payload in &payloads {
                peer.send(handle, reply_to, payload);
            }
        }
        if handle == CALL_SERVICE {
            assert_serves(&router);
        }
        // What was answered must not pile up.
        peer.send(NOT_USED, 80_000, &[]);
        while peer.next().handle != 80_000 {}
    }
    assert_serves(&router);
    assert!(peer.me.is_connected());
    assert!(pool.close(LONG).is_empty());
}

// B2
#[test]
fn a_dead_message_to_the_services_is_nobodys_call() {
    let (parent, child) = testing::pair();
    let mut stranger = Peer::join(&child, "stranger");
    stranger.send(CALL_SERVICE, DEAD, &call("guarded", "open"));
    stranger.settle();
    assert!(child.pool().is_none(), "only a call of a parent's makes a pool");
    let pool = pool(&child);
    stranger.send(CALL_SERVICE, DEAD, &call("guarded", "open"));
    stranger.send(CALL_SERVICE, 7000, &call("guarded", "open"));
    // The thread runs calls in their order, so an answer to the dead one would come first.
    assert_eq!(stranger.next().handle, 7000);
    assert_eq!(Guarded::stub(&parent.children()[0]).open().wait_timeout(LONG).unwrap(), "open");
    assert!(pool.close(LONG).is_empty());
}

// B13
#[test]
fn a_wait_that_times_out_frees_its_handle_and_the_callee_is_told() {
    let router = Router::builder().max_pending_calls(1).build().unwrap();
    let mut peer = Peer::join(&router, "peer");
    let error = ask(&peer.me).wait_timeout(Duration::ZERO).unwrap_err();
    assert!(matches!(error, CallError::DeadlineExceeded { by: DeadlineBy::Caller, .. }), "{error:?}");
    let (asked, cancel) = (peer.next(), peer.next());
    assert_eq!((asked.handle, cancel.handle), (CALL_SERVICE, CANCEL));
    assert_eq!(unpacked(&cancel.payload), asked.reply_to);
    // Nobody listens on the handle any more, and whoever sends to it is told so.
    peer.send(asked.reply_to, 9000, &[0x92, 0, 0xc0]);
    assert!(peer.refusal(9000).contains("invalid handle"));
    // The one call that may be pending is another one now.
    let next = within(LONG, {
        let me = peer.me.clone();
        move || ask(&me)
    });
    let asked_again = peer.next();
    assert_ne!(asked_again.reply_to, asked.reply_to);
    peer.answer(&asked_again, "in time");
    assert_eq!(next.wait_timeout(LONG).unwrap(), "in time");
}

// B14
#[test]
fn a_stopped_pool_makes_room_for_a_new_one() {
    let router = root();
    let stopped = pool(&router);
    stopped.stop();
    // Until there is another one, it does not pretend to work.
    let left = router.pool().unwrap();
    assert!(matches!(left.add(Guarded), Err(mitogen_service::Error::PoolStopped)));
    assert!(matches!(Guarded::stub(&router.myself()).open().wait_timeout(LONG), Err(CallError::Stopped { .. })));
    let next = Pool::builder(&router).size(3).service(Guarded).start().unwrap();
    assert_eq!(router.pool().unwrap().size(), 3, "it is the new one");
    assert_serves(&router);
    // The end of the old one does not reach the new one.
    assert!(stopped.close(LONG).is_empty());
    assert_serves(&router);
    assert!(next.close(LONG).is_empty());
}

// B15
#[test]
fn ending_a_dead_context_returns_at_once_and_keeps_nothing() {
    let router = root();
    let child = router.local().name("child").connect().unwrap();
    // Who does not want to be told any more is forgotten, as all are who wait inside of `shutdown`.
    let held = Arc::new(());
    for _ in 0..1000 {
        let held = held.clone();
        drop(child.on_disconnect(move || drop(held)));
    }
    assert_eq!(Arc::strong_count(&held), 1);
    // One that ends while it is asked to, one that is gone, one that never was.
    child.shutdown(LONG).unwrap();
    let nobody = router.context_by_id(ContextId::new(4711));
    within(LONG, {
        let child = child.clone();
        move || {
            for _ in 0..1000 {
                for context in [&child, &nobody] {
                    context.shutdown(Duration::from_secs(3600)).unwrap();
                    context.kill().unwrap();
                }
            }
        }
    });
}

// B15
#[test]
fn ending_a_context_that_is_about_to_be_gone_is_no_error() {
    let router = root();
    let mut peer = Peer::join(&router, "peer");
    // The more there is behind it, the longer its end takes.
    for _ in 0..50 {
        let first = peer.allocate().unwrap();
        for id in first..first + 1000 {
            peer.add_route(id, "below");
        }
    }
    peer.settle();
    drop(peer.socket);
    while !router.children().is_empty() {
        thread::yield_now();
    }
    peer.me.kill().unwrap();
}

// B16
#[test]
fn every_value_of_a_context_ends_it() {
    let bench = Bench::new();
    let process = |context: &Context| Watched::new(Worker::stub(context).pid().wait_timeout(LONG).unwrap());
    for gracefully in [false, true] {
        let by_id = bench.child("by id");
        let decoded = bench.child("decoded");
        let hop = bench.child("hop");
        let started_there = Worker::stub(&hop).start_child("far".into()).wait_timeout(LONG).unwrap();
        let values = [
            bench.router.context_by_id(by_id.id()),
            Worker::stub(&decoded).myself().wait_timeout(LONG).unwrap(),
            // Nobody here has started this one.
            bench.router.context_by_id(started_there.id()),
        ];
        for value in values {
            let process = process(&value);
            if gracefully { value.shutdown(LONG) } else { value.kill() }.unwrap();
            assert!(!value.is_connected(), "{value}");
            assert!(process.ends_within(LONG), "{value}");
        }
        assert!(hop.is_connected());
        hop.kill().unwrap();
        assert_eq!(bench.router.children(), []);
    }
}

// B17
#[test]
fn a_context_is_told_dead_once() {
    let router = root();
    let mut peer = Peer::join(&router, "peer");
    let far = peer.allocate().unwrap();
    peer.add_route(far, "far");
    peer.settle();
    let (tell, told) = mpsc::channel();
    for (name, context) in [("far", router.context_by_id(ContextId::new(far))), ("peer", peer.me.clone())] {
        let tell = tell.clone();
        context.on_disconnect(move || tell.send(name).unwrap()).detach();
    }
    // Its end is told, told again, and follows once more from the end of the stream.
    peer.del_route(far);
    peer.del_route(far);
    peer.settle();
    drop(peer.socket);
    drop(tell);
    let told: Vec<_> = (0..2).map(|_| told.recv_timeout(LONG).unwrap()).chain(told.iter()).collect();
    assert_eq!(told, ["far", "peer"]);
}

// B17
#[test]
fn a_neighbour_is_told_of_an_end_once() {
    let router = root();
    let (mut hop, mut asker) = (Peer::join(&router, "hop"), Peer::join(&router, "asker"));
    let far = hop.allocate().unwrap();
    hop.add_route(far, "far");
    hop.settle();
    let me = asker.id();
    for _ in 0..3 {
        asker.forge([far, me, me, CALL_SERVICE, 7000], &call("any", "thing"));
        assert_eq!(hop.next().src, me);
    }
    hop.del_route(far);
    hop.del_route(far);
    hop.settle();
    drop(hop.socket);
    let told = asker.next();
    assert_eq!((told.handle, unpacked(&told.payload[1..])), (DEL_ROUTE, far));
    // A second one would come before the answer to this.
    asker.settle();
}

// B17
#[test]
fn a_context_that_is_ended_in_many_ways_at_once_is_told_dead_once() {
    let router = root();
    let child = router.local().name("child").connect().unwrap();
    let (tell, told) = mpsc::channel();
    child.on_disconnect(move || tell.send(()).unwrap()).detach();
    thread::scope(|scope| {
        for _ in 0..4 {
            // That it is about to be gone may be an error, see above.
            scope.spawn(|| child.kill());
            scope.spawn(|| child.shutdown(LONG));
            scope.spawn(|| router.shutdown(LONG));
        }
    });
    // The callback was run, and dropped together with its sender.
    assert_eq!(told.iter().count(), 1);
    assert!(!child.is_connected());
}

// B18; that destinations which end are forgotten is shown by the tests of `router::table`.
#[test]
fn children_are_listed_as_they_were_when_it_was_asked() {
    let router = root();
    let (one, two) = (Peer::join(&router, "one"), Peer::join(&router, "two"));
    let both = router.children();
    assert_eq!(both, [one.me.clone(), two.me.clone()]);
    let (tell, told) = mpsc::channel();
    one.me.on_disconnect(move || tell.send(()).unwrap()).detach();
    drop(one.socket);
    told.recv_timeout(LONG).unwrap();
    let _three = Peer::join(&router, "three");
    assert_eq!(both, [one.me, two.me]);
    assert_eq!(router.children().iter().map(Context::name).collect::<Vec<_>>(), ["two", "three"]);
}

// B18
#[test]
fn calls_of_nobody_are_answered_however_many_there_were() {
    let (_root, below) = testing::pair();
    let mut peer = Peer::join(&below, "peer");
    let (me, first) = (peer.id(), 10_000_000);
    // More destinations than are remembered for one stream.
    for batch in 0..66 {
        for id in (first + batch * 1000..).take(1000) {
            peer.forge([id, me, me, CALL_SERVICE, 8000], &[]);
        }
        for _ in 0..1000 {
            let refusal = peer.refusal(8000);
            assert!(refusal.contains("no route to"), "{refusal}");
        }
    }
}

// B19
#[test]
fn nobody_but_the_respondent_ends_a_call() {
    let router = root();
    let mut callee = Peer::join(&router, "callee");
    let mut stranger = Peer::join(&router, "stranger");
    let pending = ask(&callee.me);
    let asked = callee.next();
    // It knows the handle, and tries it in its own name, in the respondent's and in the root's.
    for src in [stranger.id(), callee.id(), 0] {
        for auth in [stranger.id(), callee.id(), 0] {
            for reply_to in [0, DEAD] {
                stranger.forge([0, src, auth, asked.reply_to, reply_to], &[0x92, 0, 0xa3, b'b', b'a', b'd']);
            }
        }
    }
    stranger.settle();
    callee.answer(&asked, "good");
    assert_eq!(pending.wait_timeout(LONG).unwrap(), "good");
    // The respondent itself may well give up.
    let pending = ask(&callee.me);
    let asked = callee.next();
    callee.send(asked.reply_to, DEAD, &[&[0x92, 2][..], &text("no such handle")].concat());
    let error = pending.wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no such handle"), "{error}");
}

// B19
#[test]
fn a_hop_ends_the_calls_that_lead_through_it_and_no_others() {
    let router = root();
    let mut hop = Peer::join(&router, "hop");
    let mut other = Peer::join(&router, "other");
    let far = hop.allocate().unwrap();
    hop.add_route(far, "far");
    hop.settle();
    let far = router.context_by_id(ContextId::new(far));
    let (through, beside) = (ask(&far), ask(&other.me));
    let (asked_through, asked_beside) = (hop.next(), other.next());
    for (from, asked) in [(far.id().get(), &asked_through), (other.id(), &asked_beside)] {
        hop.forge([0, from, from, asked.reply_to, DEAD], &[&[0x92, 1][..], &text("no route")].concat());
    }
    let error = through.wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no route"), "{error}");
    hop.settle();
    other.answer(&asked_beside, "good");
    assert_eq!(beside.wait_timeout(LONG).unwrap(), "good");
}

// B19
#[test]
fn a_route_is_withdrawn_only_by_the_neighbour_that_it_leads_through() {
    let router = root();
    let mut hop = Peer::join(&router, "hop");
    let mut stranger = Peer::join(&router, "stranger");
    let far = hop.allocate().unwrap();
    hop.add_route(far, "far");
    hop.settle();
    let contexts = [hop.id(), far, stranger.id(), 0].map(|id| router.context_by_id(ContextId::new(id)));
    let pending = ask(&contexts[1]);
    let asked = hop.next();
    for context in &contexts {
        stranger.del_route(context.id().get());
    }
    // One that is below the hop says so itself: it is no neighbour.
    hop.forge([0, far, far, DEL_ROUTE, 9000], &[&[0x92][..], &packed(far), &[0xc0]].concat());
    assert!(hop.refusal(9000).contains("refused by policy"));
    hop.del_route(hop.id());
    for peer in [&mut hop, &mut stranger] {
        peer.settle();
    }
    assert!(contexts.iter().all(Context::is_connected), "{contexts:?}");
    hop.forge([0, far, far, asked.reply_to, 0], &[&[0x92, 0][..], &text("good")].concat());
    assert_eq!(pending.wait_timeout(LONG).unwrap(), "good");
    hop.del_route(far);
    hop.settle();
    assert!(!contexts[1].is_connected());
}

// B19
#[test]
fn handles_begin_where_nobody_can_guess() {
    let handles: BTreeSet<u32> = (0..8)
        .map(|_| {
            let router = root();
            let mut peer = Peer::join(&router, "peer");
            let _pending = ask(&peer.me);
            peer.next().reply_to
        })
        .collect();
    // Equal ones are as likely as one in a hundred million.
    assert_eq!(handles.len(), 8, "{handles:?}");
    assert!(handles.iter().all(|handle| *handle >= 1000));
}

// B21
#[test]
fn ids_are_given_to_neighbours_alone_and_not_without_end() {
    let router = root();
    let (mut greedy, mut modest) = (Peer::join(&router, "greedy"), Peer::join(&router, "modest"));
    let first = greedy.allocate().unwrap();
    greedy.add_route(first, "below");
    // Who is no neighbour asks its own parent.
    greedy.forge([0, first, first, ALLOCATE_ID, 5000], &[]);
    let refused = greedy.next();
    assert_eq!((refused.handle, refused.reply_to), (5000, DEAD));
    assert!(String::from_utf8_lossy(&refused.payload).contains("refused by policy"));
    // Its own id is a range as well, and one was given above.
    let given = (0..3000).take_while(|_| greedy.allocate().is_ok()).count();
    assert_eq!(given, 998);
    assert!(greedy.allocate().unwrap_err().contains("as many ids as one may have"));
    assert!(modest.allocate().unwrap() < 1_100_000, "what was refused uses no ids up");
    assert!(greedy.me.is_connected());
}

// B21
#[test]
fn a_route_renames_nobody() {
    let router = root();
    let mut peer = Peer::join(&router, "peer");
    let other = Peer::join(&router, "other");
    let far = peer.allocate().unwrap();
    peer.add_route(far, "far");
    for id in [far, peer.id(), other.id(), 0] {
        peer.add_route(id, "renamed");
    }
    peer.settle();
    let name = |id: u32| router.context_by_id(ContextId::new(id)).name().to_owned();
    assert_eq!([far, peer.id(), other.id(), 0].map(name), ["far", "peer", "other", "root"]);
}

// B21
#[test]
fn log_records_have_the_name_of_their_sender_and_a_bound() {
    let router = root();
    let _pool = pool(&router);
    let mut peer = Peer::join(&router, "peer");
    // What Mitogen's children send: logger, level, text.
    let record = text("mitogen\0ERROR\0forged");
    peer.send(FORWARD_LOG, 9000, &record);
    // Ours, with the path of somebody else and a forged line: both are shown as what they are.
    let event = |level: u8, text: &str| {
        let mut payload = vec![0x94, level];
        for part in ["a target\nforged", "root/somebody else", text] {
            payload.extend_from_slice(&[0xda, (part.len() >> 8) as u8, part.len() as u8]);
            payload.extend_from_slice(part.as_bytes());
        }
        payload
    };
    peer.send(FORWARD_LOG, 0, &event(1, "a forged event\n[root] all is well"));
    // No more than a mebibyte in a second comes through of as many as there are.
    for _ in 0..200 {
        peer.send(FORWARD_LOG, 0, &event(2, &"x".repeat(60_000)));
    }
    peer.settle();
    assert!(peer.me.is_connected());
}

/// Cannot even be asked.
struct Touchy;

impl Activator for Touchy {
    fn is_authorized(&self, name: &str, _caller: &Caller) -> bool {
        assert_ne!(name, "touchy", "a check that panics");
        true
    }

    fn activate(&self, name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        (name == "guarded").then(|| Ok(Hosted::new(Guarded)))
    }
}

// B33
#[test]
fn a_policy_that_panics_refuses_the_call_and_everything_goes_on() {
    let router = root();
    let pool = Pool::builder(&router).size(1).activator(Touchy).start().unwrap();
    let mut peer = Peer::join(&router, "peer");
    for _ in 0..3 {
        for (service, method, error) in [("touchy", "open", "NotActivated"), ("guarded", "panicking", "Unauthorized")] {
            peer.send(CALL_SERVICE, 7000, &call(service, method));
            let frame = peer.next();
            assert_eq!(frame.handle, 7000);
            assert!(String::from_utf8_lossy(&frame.payload).contains(error), "{service}: {:?}", frame.payload);
        }
        assert_serves(&router);
    }
    assert!(peer.me.is_connected());
    assert!(pool.close(LONG).is_empty());
}

/// Has no encoding.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

// B33
#[test]
fn what_cannot_be_written_fails_its_own_call_alone() {
    let router = root();
    let _pool = pool(&router);
    let mut peer = Peer::join(&router, "peer");
    let pending = ask(&peer.me);
    let asked = peer.next();
    for whom in [&peer.me, &router.myself()] {
        let error = whom.call_service::<String>("any", "thing", &Unwritable).wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Encode { .. }), "{error:?}");
    }
    peer.answer(&asked, "good");
    assert_eq!(pending.wait_timeout(LONG).unwrap(), "good");
    assert_serves(&router);
}
