//! Claims, closes, data, credit and ends over both links of neighbours, in every order that may be.
//!
//! All routers of a tree live in the test's process, and each message that one of them writes is carried to the
//! next one by the test: so it decides what overtakes what, and nothing happens but what it does. No order is
//! kept between the links of two neighbours, nor between directions; within one link it is.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use super::mailbox::{Mailbox, Next};
use super::outbox::{Outbox, Wait};
use super::registry::Registry;
use crate::error::{CallError, Exit};
use crate::io::{Patience, ReadEnd, Sink, Stream, WriteEnd};
use crate::router::{Bounds, Core, Death, Delivery, Ending, Identity, Listener, Router};
use crate::sync::Mutex;
use crate::wire::{ChannelBounds, ContextId, Decoder, Encoding, FEATURE_BULK, FEATURES, Handle, IdBlock, Message};

/// Three messages of [`SIZE`].
const WINDOW: u64 = 3500;

/// What a message holds at most, but for its number.
const SIZE: usize = 1000;

const MAX_MESSAGE_SIZE: usize = 1024 * 1024;

/// What the process of a context that ends exits with.
const STATUS: i32 = 7;

/// One direction of one link, from a router to its neighbour.
struct Wire {
    from: usize,
    to: usize,
    is_bulk: bool,
    /// What `from` writes comes out here.
    out: OwnedFd,
    decoder: Decoder,
    /// Where `to` would have read it.
    ingress: Arc<Stream>,
    queue: VecDeque<Message>,
}

/// A tree of routers. Those below stand behind those above.
struct Tree {
    cores: Vec<Arc<Core>>,
    parents: Vec<usize>,
    ended: Vec<bool>,
    wires: Vec<Wire>,
    /// Close the routers.
    _routers: Vec<Router>,
}

/// Gets a block of ids.
struct Block(Mutex<Option<IdBlock>>);

impl Listener for Block {
    fn deliver(&self, delivery: Delivery<'_>) {
        *self.0.lock() = IdBlock::decode(&delivery.message.payload).ok();
    }

    fn end(&self, _death: &Arc<Death>) {}
}

fn socket() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

impl Tree {
    /// One in which each context but the first, the root, has its parent's number here.
    fn new(parents: &[usize]) -> Self {
        let channels = ChannelBounds { window: WINDOW, ..ChannelBounds::default() };
        let mut tree =
            Self { cores: Vec::new(), parents: vec![0], ended: Vec::new(), wires: Vec::new(), _routers: Vec::new() };
        tree.add(Identity {
            id: ContextId::ROOT,
            name: "root".to_owned(),
            parents: Vec::new(),
            max_message_size: MAX_MESSAGE_SIZE,
            unidirectional: false,
            keep_alive: None,
            channels,
        });
        for parent in parents {
            tree.start(*parent);
        }
        tree
    }

    fn add(&mut self, identity: Identity) {
        let core = Core::new(identity, Ending::Router, Bounds::default());
        // In front, so that those below are closed first.
        self._routers.insert(0, Router::owning(core.clone()));
        self.cores.push(core);
        self.ended.push(false);
    }

    /// Starts a child of this context.
    fn start(&mut self, parent: usize) {
        let id = self.new_id(parent);
        let above = self.cores[parent].identity();
        let parents = [(above.id, above.name.clone())].into_iter().chain(above.parents.iter().cloned()).collect();
        let (name, child) = (format!("c{}", self.cores.len()), self.cores.len());
        self.add(Identity { id, name: name.clone(), parents, ..above.clone() });
        self.parents.push(parent);
        let (down, up) = (self.links(parent, child), self.links(child, parent));
        self.cores[parent]
            .join_child((&down.0, Some(&down.1)), (id, &name), FEATURES | FEATURE_BULK, None, false)
            .unwrap();
        self.cores[child].join_parent((&up.0, Some(&up.1)), FEATURES | FEATURE_BULK).unwrap();
        // What goes down comes out of the parent's streams, and into those of the child.
        for (wire, ingress) in self.wires.iter_mut().rev().zip([&down.1, &down.0, &up.1, &up.0]) {
            wire.ingress = ingress.clone();
        }
        self.settle();
    }

    /// Both streams of a context to a neighbour, which never bring anything by themselves.
    fn links(&mut self, from: usize, to: usize) -> (Arc<Stream>, Arc<Stream>) {
        let core = &self.cores[from];
        let ((main_end, main_out), (bulk_end, bulk_out)) = (socket(), socket());
        let write = main_end.try_clone().unwrap();
        let main = core.new_stream((ReadEnd(main_end), WriteEnd(write)), None).unwrap();
        let bulk = core.new_bulk(&main, bulk_end).unwrap();
        for (is_bulk, out, ingress) in [(false, main_out, &main), (true, bulk_out, &bulk)] {
            let (decoder, queue, ingress) = (Decoder::new(MAX_MESSAGE_SIZE), VecDeque::new(), ingress.clone());
            self.wires.push(Wire { from, to, is_bulk, out, decoder, ingress, queue });
        }
        (main, bulk)
    }

    fn new_id(&mut self, parent: usize) -> ContextId {
        let core = self.cores[parent].clone();
        if let Some(id) = core.take_id() {
            return id;
        }
        let (above, answer) = (core.identity().parents[0].0, Arc::new(Block(Mutex::new(None))));
        let handle = core.await_uncounted(above, answer.clone()).unwrap();
        let ask = Message::new(Encoding::MessagePack, above, Handle::ALLOCATE_ID, handle, Bytes::new());
        core.send(ask, Patience::Reserve).unwrap();
        self.settle();
        let block = answer.0.lock().take().unwrap();
        core.add_ids(block.start..block.end);
        core.take_id().unwrap()
    }

    /// Takes what all routers have written.
    fn collect(&mut self) {
        for wire in self.wires.iter_mut().filter(|wire| !self.ended[wire.from]) {
            while let Ok((got @ 1.., _)) =
                rustix::net::recv(&wire.out, rustix::buffer::spare_capacity(wire.decoder.space()), RecvFlags::DONTWAIT)
            {
                assert!(got > 0);
                while let Some(message) = wire.decoder.next().unwrap() {
                    wire.queue.push_back(message);
                }
            }
        }
    }

    /// The wires on which something is on its way.
    fn busy(&self) -> Vec<usize> {
        (0..self.wires.len()).filter(|wire| !self.wires[*wire].queue.is_empty()).collect()
    }

    /// Lets the next message of a wire arrive.
    fn carry(&mut self, wire: usize) {
        let Wire { queue, to, ingress, .. } = &mut self.wires[wire];
        let Some(message) = queue.pop_front() else { return };
        if !self.ended[*to] {
            self.cores[*to].clone().receive(&ingress.clone(), &mut vec![message]);
        }
        self.collect();
    }

    /// Lets everything arrive.
    fn settle(&mut self) {
        self.collect();
        while let Some(wire) = self.busy().first() {
            self.carry(*wire);
        }
    }

    /// The process of a context exits, when all that it has written was read. Nobody is below it.
    fn end(&mut self, who: usize) {
        let parent = self.parents[who];
        self.collect();
        for wire in 0..self.wires.len() {
            while self.wires[wire].from == who && !self.wires[wire].queue.is_empty() {
                self.carry(wire);
            }
        }
        self.ended[who] = true;
        let stream = self.wires.iter().find(|wire| (wire.from, wire.to) == (who, parent)).unwrap().ingress.id();
        let name = self.cores[who].identity().name.clone();
        let death = Death { exit: Some(Exit::Code { code: STATUS }), ..Death::disconnected(&name) };
        self.cores[parent].lost(stream, death);
        self.collect();
    }

    /// The wire from one context to another.
    fn wire(&mut self, from: usize, to: usize, is_bulk: bool) -> &mut Wire {
        let wanted = |wire: &&mut Wire| (wire.from, wire.to, wire.is_bulk) == (from, to, is_bulk);
        self.wires.iter_mut().find(wanted).unwrap()
    }
}

/// A receiver, and what has come out of it.
struct Receiving {
    mailbox: Arc<Mailbox>,
    taken: Vec<u32>,
    end: Option<CallError>,
}

impl Receiving {
    fn new(core: &Arc<Core>) -> Self {
        let mailbox = Mailbox::open(core);
        // It does not end before the test is ready for that.
        mailbox.hold();
        Self { mailbox, taken: Vec::new(), end: None }
    }

    fn id(&self) -> ContextId {
        self.mailbox.core().identity().id
    }

    /// Takes one message, if there is one.
    fn take(&mut self) -> bool {
        match self.mailbox.try_next() {
            Next::Message(message, after) => {
                after.run();
                self.taken.push(u32::from_be_bytes(message.payload[..4].try_into().unwrap()));
                return true;
            }
            Next::Ended(why) => self.end = Some(why),
            Next::Nothing => {}
        }
        false
    }
}

/// A context that sends to it.
struct Sending {
    /// What its messages begin with.
    tag: u8,
    core: Arc<Core>,
    to: (ContextId, Handle, u64),
    outbox: Option<Arc<Outbox>>,
    /// Those that were sent, as far as this end knows.
    sent: Vec<u32>,
}

impl Sending {
    fn new(tag: u8, core: &Arc<Core>, receiving: &Receiving) -> Self {
        let to = (receiving.id(), receiving.mailbox.handle(), receiving.mailbox.token());
        Self { tag, core: core.clone(), to, outbox: None, sent: Vec::new() }
    }

    fn claim(&mut self) -> Arc<Outbox> {
        let (context, handle, token) = self.to;
        let context = self.core.context(context);
        Registry::of(&self.core).outbox((&context, handle), token).unwrap()
    }

    /// Sends the next message if there is credit for it; claims before, if it has not.
    fn send(&mut self, size: usize) {
        let outbox = self.outbox.take().unwrap_or_else(|| self.claim());
        let number = u32::from(self.tag) << 24 | self.sent.len() as u32;
        let payload = [&number.to_be_bytes()[..], &vec![0; size]].concat();
        match outbox.send(Encoding::Binary, payload.into(), Wait::Not) {
            Ok(()) => self.sent.push(number),
            Err(CallError::Overloaded { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.outbox = Some(outbox);
    }
}

/// What is done where there is a choice: all of it, run by run.
#[derive(Default)]
struct Choices {
    /// What was chosen, of how many.
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    fn choose(&mut self, of: usize) -> usize {
        if self.next == self.made.len() {
            self.made.push((0, of));
        }
        let (choice, before) = self.made[self.next];
        assert_eq!(of, before, "runs that choose the same are the same");
        self.next += 1;
        choice
    }

    /// Goes on to the next run; `false` if there is none.
    fn turn(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, of)) = self.made.pop() {
            if choice + 1 < of {
                self.made.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// Runs the end of a sender whose data is on the links for bulk; the receiver takes each message as soon as it
/// has come, and so gives credit, which meets that end.
///
/// Tells whether it has met it behind the hop that has known it.
fn run(parents: &[usize], (from, to): (usize, usize), bulk: usize, choices: &mut Choices) -> bool {
    let mut tree = Tree::new(parents);
    let mut receiving = Receiving::new(&tree.cores[to]);
    let mut sending = Sending::new(0, &tree.cores[from], &receiving);
    // It moves to the links for bulk when it has no credit any more.
    for _ in 0..4 {
        sending.send(SIZE);
    }
    tree.settle();
    while receiving.take() {}
    tree.settle();
    (0..bulk).for_each(|_| sending.send(SIZE));
    tree.collect();
    assert!(!tree.wire(from, tree.parents[from], true).queue.is_empty(), "they are on the link for bulk");
    assert_eq!((sending.sent.len(), receiving.taken.len()), (3 + bulk, 3));
    tree.end(from);
    let hop = tree.parents[from];
    let mut met = false;
    loop {
        let busy = tree.busy();
        if busy.is_empty() {
            break;
        }
        let wire = busy[choices.choose(busy.len())];
        let is_credit = tree.wires[wire].queue[0].header.handle == Handle::CREDIT;
        let arrives_at = tree.wires[wire].to;
        let back = tree.wires[wire].from;
        tree.carry(wire);
        let refused = &mut tree.wire(arrives_at, back, false).queue;
        let last = refused.len().saturating_sub(1);
        if is_credit && arrives_at == hop && refused.back().is_some_and(Message::is_dead) {
            met = true;
            // Another thread of the hop may have refused it as soon as the way was gone, and before the end
            // was told.
            let behind_the_end = last > 0 && refused[last - 1].header.handle == Handle::DEL_ROUTE;
            if behind_the_end && choices.choose(2) == 1 {
                refused.swap(last, last - 1);
            }
        }
        while receiving.take() {}
        tree.collect();
    }
    assert_eq!(receiving.taken, sending.sent, "{:?}", choices.made);
    receiving.mailbox.release();
    receiving.take();
    let Some(CallError::Dead { exit, .. }) = &receiving.end else {
        panic!("{:?} after {:?}", receiving.end, choices.made)
    };
    assert_eq!(*exit, Some(Exit::Code { code: STATUS }), "{:?}", choices.made);
    met
}

/// All orders in which so many messages, the end and credit may arrive; gives in how many runs credit has met the
/// end.
fn run_all(parents: &[usize], ends: (usize, usize), bulk: usize) -> (usize, usize) {
    let (mut runs, mut met, mut choices) = (0, 0, Choices::default());
    loop {
        met += usize::from(run(parents, ends, bulk, &mut choices));
        runs += 1;
        if !choices.turn() {
            return (runs, met);
        }
    }
}

#[test]
fn credit_that_meets_the_end_of_its_context_behind_a_hop_loses_nothing() {
    let (runs, met) = run_all(&[0, 1], (2, 0), 2);
    assert!(met > 100, "in {met} of {runs} runs");
}

/// Between the hop that refuses credit and the receiver there is another one, which has not passed the end on yet.
#[test]
fn credit_that_meets_the_end_of_its_context_behind_two_hops_loses_nothing() {
    let (runs, met) = run_all(&[0, 1, 2], (3, 0), 1);
    assert!(met > 100, "in {met} of {runs} runs");
}

/// Where a sender is, and where the receiver.
#[derive(Clone, Debug)]
struct Shape {
    parents: &'static [usize],
    /// The first of them ends; nobody is below it.
    senders: &'static [usize],
    receiver: usize,
}

const SHAPES: [Shape; 4] = [
    Shape { parents: &[0, 1], senders: &[2, 1], receiver: 0 },
    Shape { parents: &[0, 1, 2], senders: &[3], receiver: 0 },
    Shape { parents: &[0, 1, 0], senders: &[2, 0], receiver: 3 },
    Shape { parents: &[0, 1, 1], senders: &[3, 0], receiver: 2 },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever claims and closes follow each other, on which links their data travels, and when the context
    /// of a sender exits: what was sent comes out once and in its order, and the receiver ends as its senders do.
    #[test]
    fn nothing_is_lost_between_two_links(
        shape in prop::sample::select(&SHAPES[..]),
        before in prop::collection::vec((0..64_u8, any::<prop::sample::Index>()), 1..400),
        after in prop::collection::vec((15..64_u8, any::<prop::sample::Index>()), 0..50),
        exits in any::<bool>(),
    ) {
        let mut tree = Tree::new(shape.parents);
        let mut receiving = Receiving::new(&tree.cores[shape.receiver]);
        let sending = |(tag, who): (usize, &usize)| Sending::new(tag as u8, &tree.cores[*who], &receiving);
        let mut senders: Vec<_> = shape.senders.iter().enumerate().map(sending).collect();
        let exit_at = before.len();
        for (at, (step, index)) in before.into_iter().chain(after).enumerate() {
            if exits && at == exit_at {
                tree.end(shape.senders[0]);
            }
            let sender = &mut senders[index.index(shape.senders.len())];
            let busy = tree.busy();
            match step {
                // So rarely that a claim may last until it has moved.
                0 => sender.outbox = None,
                1..=14 => sender.send(index.index(SIZE)),
                15..=20 => drop(receiving.take()),
                _ if busy.is_empty() => {}
                _ => tree.carry(busy[index.index(busy.len())]),
            }
            tree.collect();
        }
        if exits && !tree.ended[shape.senders[0]] {
            tree.end(shape.senders[0]);
        }
        let is_cut_off = exits && senders[0].outbox.is_some();
        // The others close.
        let skipped = usize::from(exits);
        senders.iter_mut().skip(skipped).for_each(|sender| sender.outbox = None);
        receiving.mailbox.release();
        loop {
            tree.settle();
            if !receiving.take() {
                break;
            }
        }
        for sender in &senders {
            let of = |number: &&u32| **number >> 24 == u32::from(sender.tag);
            let taken: Vec<_> = receiving.taken.iter().filter(of).copied().collect();
            prop_assert_eq!(&taken, &sender.sent);
        }
        let claimed = senders.iter().any(|sender| !sender.sent.is_empty());
        match &receiving.end {
            None => prop_assert!(!claimed, "it has not ended"),
            Some(CallError::Dead { exit, .. }) => {
                prop_assert!(is_cut_off);
                prop_assert_eq!(*exit, Some(Exit::Code { code: STATUS }));
            }
            Some(CallError::Cancelled { .. }) => prop_assert!(!is_cut_off),
            Some(other) => prop_assert!(false, "{other}"),
        }
    }
}
