//! Much data in channels, which travels over a link of its own beside that of calls.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, Blob, Call, CallError, Context, Exit, Receiver, Router, Sender, service};
use mitogen_service_tests::{LONG, Watched, within};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};

/// So large that its sender moves to the link for bulk.
const SIZE: usize = 100 * 1024;

/// What may be on its way to a receiver.
const WINDOW: usize = 1024 * 1024;

#[derive(Default)]
struct Source;

#[service(activate)]
impl Source {
    /// Sends so many blobs that tell who has sent them, and their number.
    #[expose(policy = AllowAny)]
    fn send(&self, to: Sender<Blob>, tag: u8, count: u32, size: usize) -> Result<(), CallError> {
        (0..count).try_for_each(|number| to.send(blob(tag, number, size)))
    }

    /// The same from several threads, which share one claim.
    #[expose(policy = AllowAny)]
    fn send_from_threads(&self, to: Sender<Blob>, tags: Vec<u8>, count: u32) -> Result<(), CallError> {
        thread::scope(|scope| {
            let send = |tag: u8| (0..count).try_for_each(|number| to.send(blob(tag, number, SIZE)));
            let threads: Vec<_> = tags.iter().map(|tag| scope.spawn(move || send(*tag))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap())
        })
    }

    /// Ends the process as soon as everything is sent.
    #[expose(policy = AllowAny)]
    fn send_and_exit(&self, to: Sender<Blob>, count: u32) -> Result<(), CallError> {
        // Not closed before: the exit is what ends it.
        self.send(to.clone(), 1, count, SIZE)?;
        std::process::exit(0)
    }

    /// Takes blobs, and tells how many in their order there were.
    #[expose(policy = AllowAny)]
    fn open(&self, tell: Sender<u32>, router: &Router) -> Sender<Blob> {
        let receiver = router.receiver();
        let sender = receiver.sender();
        thread::spawn(move || tell.send(numbers(&receiver).get(&1).copied().unwrap_or(0)));
        sender
    }
}

fn blob(tag: u8, number: u32, size: usize) -> Blob {
    let mut bytes = vec![tag; size];
    bytes[1..5].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

/// How many blobs have come of each tag, each in its order and whole.
fn numbers(receiver: &Receiver<Blob>) -> BTreeMap<u8, u32> {
    let mut counts = BTreeMap::new();
    while let Ok(blob) = receiver.recv_timeout(LONG) {
        check(&blob, &mut counts);
    }
    counts
}

fn check(blob: &Blob, counts: &mut BTreeMap<u8, u32>) {
    let count = counts.entry(blob[0]).or_insert(0);
    assert_eq!(blob[1..5], count.to_be_bytes(), "of {}", blob[0]);
    assert!(blob[5..].iter().all(|byte| *byte == blob[0]));
    *count += 1;
}

fn below(context: &Context, name: &str) -> Context {
    Worker::stub(context).start_child(name.to_owned()).wait_timeout(LONG).unwrap()
}

fn send(context: &Context, to: Sender<Blob>, tag: u8, count: u32) -> Call<()> {
    Source::stub(context).send(to, tag, count, SIZE)
}

#[test]
fn everything_comes_in_its_order_from_many_senders_in_many_children() {
    let bench = Bench::new();
    let contexts = ["one", "two", "three"].map(|name| bench.child(name));
    let receiver = bench.router.receiver::<Blob>();
    let mut tags = 0..;
    let calls: Vec<_> = contexts
        .iter()
        .map(|context| {
            let tags: Vec<u8> = tags.by_ref().take(3).collect();
            Source::stub(context).send_from_threads(receiver.sender(), tags, 30)
        })
        .collect();
    assert_eq!(numbers(&receiver), (0..9).map(|tag| (tag, 30)).collect());
    calls.into_iter().for_each(|call| call.wait_timeout(LONG).unwrap());
}

#[test]
fn two_receivers_of_one_context_are_read_by_two_threads() {
    let bench = Bench::new();
    let child = bench.child("child");
    let threads: Vec<_> = (0..2)
        .map(|tag| {
            let receiver = bench.router.receiver::<Blob>();
            let call = send(&child, receiver.sender(), tag, 100);
            thread::spawn(move || (numbers(&receiver), call))
        })
        .collect();
    for (tag, thread) in threads.into_iter().enumerate() {
        let (counts, call) = within(LONG, move || thread.join().unwrap());
        assert_eq!(counts, BTreeMap::from([(tag as u8, 100)]));
        call.wait_timeout(LONG).unwrap();
    }
}

/// Each method has a sender of its own, whose claim follows on that of the one before, and none of their
/// messages stands in front of an earlier one.
#[test]
fn claims_of_one_context_follow_each_other() {
    let bench = Bench::new();
    let child = bench.child("child");
    let receiver = bench.router.receiver::<Blob>();
    let sender = receiver.sender();
    for tag in 0..20 {
        // Few enough that they need not be taken, and the last ones are small.
        Source::stub(&child).send(sender.clone(), tag, 3, SIZE).wait_timeout(LONG).unwrap();
        Source::stub(&child).send(sender.clone(), 100 + tag, 3, 10).wait_timeout(LONG).unwrap();
        let (mut counts, mut order) = (BTreeMap::new(), Vec::new());
        for _ in 0..6 {
            let blob = receiver.recv_timeout(LONG).unwrap();
            check(&blob, &mut counts);
            order.push(blob[0]);
        }
        assert_eq!(order, [tag, tag, tag, 100 + tag, 100 + tag, 100 + tag]);
    }
    sender.close();
    receiver.recv_timeout(LONG).unwrap_err();
}

#[test]
fn bulk_passes_hops_upward_and_downward_and_between_siblings() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let grandchild = below(&one, "grandchild");
    let receiver = bench.router.receiver::<Blob>();
    let call = send(&grandchild, receiver.sender(), 7, 50);
    assert_eq!(numbers(&receiver), BTreeMap::from([(7, 50)]));
    call.wait_timeout(LONG).unwrap();

    for from in [&bench.root(), &two] {
        let told = bench.router.receiver();
        let to = Source::stub(&grandchild).open(told.sender()).wait_timeout(LONG).unwrap();
        if from.id() == bench.root().id() {
            (0..50).for_each(|number| to.send_timeout(blob(1, number, SIZE), LONG).unwrap());
        } else {
            send(from, to.clone(), 1, 50).wait_timeout(LONG).unwrap();
        }
        drop(to);
        assert_eq!(told.recv_timeout(LONG).unwrap(), 50);
    }
}

#[test]
fn what_was_sent_before_an_exit_in_good_order_is_taken() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    for context in [bench.child("near"), below(&hop, "far")] {
        let receiver = bench.router.receiver::<Blob>();
        let call = Source::stub(&context).send_and_exit(receiver.sender(), 40);
        let mut counts = BTreeMap::new();
        let end = loop {
            match receiver.recv_timeout(LONG) {
                Ok(blob) => check(&blob, &mut counts),
                Err(end) => break end,
            }
        };
        assert_eq!(counts, BTreeMap::from([(1, 40)]));
        let CallError::Dead { exit, .. } = &end else { panic!("{end:?}") };
        assert_eq!(*exit, Some(Exit::Code { code: 0 }));
        assert!(matches!(call.wait_timeout(LONG), Err(CallError::Dead { .. })));
    }
}

#[test]
fn a_process_that_is_killed_in_the_middle_of_bulk_leaves_nobody_waiting() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    for context in [bench.child("near"), below(&hop, "far")] {
        let process = Watched::new(Worker::stub(&context).pid().wait_timeout(LONG).unwrap());
        let receiver = bench.router.receiver::<Blob>();
        let call = send(&context, receiver.sender(), 1, 1_000_000);
        let mut counts = BTreeMap::new();
        for _ in 0..20 {
            check(&receiver.recv_timeout(LONG).unwrap(), &mut counts);
        }
        process.signal(Signal::KILL);
        let end = loop {
            match receiver.recv_timeout(LONG) {
                Ok(blob) => check(&blob, &mut counts),
                Err(end) => break end,
            }
        };
        assert!(matches!(end, CallError::Dead { .. }), "{end:?}");
        assert!(matches!(call.wait_timeout(LONG), Err(CallError::Dead { .. })));
    }
}

/// The other way round: who waits for a socket that nobody reads any more.
#[test]
fn a_sender_whose_receiver_is_killed_hears_of_it() {
    let bench = Bench::new();
    let child = bench.child("child");
    let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
    let told = bench.router.receiver::<u32>();
    let to = Source::stub(&child).open(told.sender()).wait_timeout(LONG).unwrap();
    to.send_timeout(blob(1, 0, SIZE), LONG).unwrap();
    process.stop();
    let sends = thread::spawn(move || (1..).find_map(|number| to.send(blob(1, number, SIZE)).err()));
    process.signal(Signal::KILL);
    let error = within(LONG, || sends.join().unwrap()).unwrap();
    assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
}

#[test]
fn calls_go_on_beside_bulk_that_nobody_takes() {
    let bench = Bench::new();
    let child = bench.child("child");
    let receiver = bench.router.receiver::<Blob>();
    let mut call = send(&child, receiver.sender(), 1, 200);
    let worker = Worker::stub(&child);
    for number in 0..200 {
        assert_eq!(worker.echo(number.to_string()).wait_timeout(LONG).unwrap(), number.to_string());
        assert!(receiver.len() <= WINDOW / SIZE, "{} wait", receiver.len());
    }
    assert!(call.try_wait(Duration::ZERO).is_none());
    assert_eq!(numbers(&receiver), BTreeMap::from([(1, 200)]));
    call.wait_timeout(LONG).unwrap();
}

#[test]
fn a_receiver_that_is_closed_ends_what_is_sent_to_it() {
    let bench = Bench::new();
    let child = bench.child("child");
    for _ in 0..10 {
        let receiver = bench.router.receiver::<Blob>();
        let call = send(&child, receiver.sender(), 1, 1_000_000);
        let mut counts = BTreeMap::new();
        for _ in 0..15 {
            check(&receiver.recv_timeout(LONG).unwrap(), &mut counts);
        }
        receiver.close();
        assert!(matches!(call.wait_timeout(LONG), Err(CallError::Refused { .. })));
    }
}

/// Bulk of each size comes as it was sent, also where one buffer is used again for another one.
#[test]
fn messages_of_all_sizes_follow_each_other() {
    let bench = Bench::new();
    let child = bench.child("child");
    let sizes = [5, 4096, 16_383, 16_384, 65_536, 70_000, SIZE, 300_000, 524_288, 3_000_000];
    let calls: Vec<_> = sizes
        .into_iter()
        .map(|size| {
            let receiver = bench.router.receiver::<Blob>();
            let call = Source::stub(&child).send(receiver.sender(), 3, 12, size);
            (receiver, call, size)
        })
        .collect();
    for (receiver, call, size) in calls {
        for number in 0..12 {
            let got = receiver.recv_timeout(LONG).unwrap();
            assert!(got == blob(3, number, size), "{number} of {size}: {}", got.len());
        }
        call.wait_timeout(LONG).unwrap();
    }
}
