//! Channels between real processes: who may send, how much, and how it ends.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{
    AllowAny, Blob, Call, CallError, Context, Executed, Exit, Pool, Receiver, Router, Sender, Service, service,
};
use mitogen_service_tests::{LONG, Watched, within};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Worker};

/// Sends what it is told to.
#[derive(Default)]
pub(crate) struct Feeder {
    kept: Mutex<Vec<Sender<u32>>>,
    open: Mutex<Option<Arc<Receiver<u32>>>>,
}

/// An argument with a sender inside.
#[derive(Serialize, Deserialize)]
struct Job {
    numbers: Vec<u32>,
    to: Option<Sender<u32>>,
}

#[service(activate)]
impl Feeder {
    /// Sends the numbers from `from` on and below `end`.
    #[expose(policy = AllowAny)]
    pub(crate) fn count(&self, to: Sender<u32>, from: u32, end: u32) -> Result<(), CallError> {
        (from..end).try_for_each(|number| to.send(number))
    }

    /// Lets another context count.
    #[expose(policy = AllowAny)]
    fn count_at(&self, target: Context, to: Sender<u32>, from: u32, end: u32) -> Result<(), CallError> {
        Self::stub(&target).count(to, from, end).wait()
    }

    /// Sends blobs of this size, each filled with its number.
    #[expose(policy = AllowAny)]
    fn blobs(&self, to: Sender<Blob>, count: u8, size: usize) -> Result<(), CallError> {
        (0..count).try_for_each(|number| to.send(vec![number; size].into()))
    }

    #[expose(policy = AllowAny)]
    fn work(&self, job: Job) -> Result<(), CallError> {
        let to = job.to.expect("a sender");
        job.numbers.into_iter().try_for_each(|number| to.send(number))
    }

    /// Keeps a sender, and does nothing with it.
    #[expose(policy = AllowAny)]
    pub(crate) fn keep(&self, to: Sender<u32>) {
        self.kept.lock().unwrap().push(to);
    }

    #[expose(policy = AllowAny)]
    fn forget_kept(&self) {
        self.kept.lock().unwrap().clear();
    }

    #[expose(policy = AllowAny)]
    pub(crate) fn close_kept(&self) {
        self.kept.lock().unwrap().iter().for_each(Sender::close);
    }

    #[expose(policy = AllowAny)]
    fn send_kept(&self, number: u32) -> Result<(), CallError> {
        self.kept.lock().unwrap().iter().try_for_each(|kept| kept.send(number))
    }

    /// Sends to each kept sender until there is no room, and tells how often that went well.
    #[expose(policy = AllowAny)]
    pub(crate) fn fill_kept(&self) -> Result<usize, CallError> {
        let kept = self.kept.lock().unwrap()[0].clone();
        let mut sent = 0;
        loop {
            match kept.try_send(sent) {
                Ok(()) => sent += 1,
                Err(CallError::Overloaded { .. }) => return Ok(sent as usize),
                Err(other) => return Err(other),
            }
        }
    }

    /// Opens a receiver here and gives its sender.
    #[expose(policy = AllowAny)]
    pub(crate) fn open(&self, router: &Router) -> Sender<u32> {
        let receiver = Arc::new(router.receiver());
        let sender = receiver.sender();
        *self.open.lock().unwrap() = Some(receiver);
        sender
    }

    /// The sum of what was sent there, until its end.
    #[expose(policy = AllowAny)]
    fn sum(&self) -> u32 {
        let receiver = self.open.lock().unwrap().clone().expect("open was called");
        receiver.iter().sum()
    }

    /// Gives a sender back to where it came from.
    #[expose(policy = AllowAny)]
    fn back(&self, to: Sender<u32>) -> Sender<u32> {
        to
    }
}

/// The reason why a receiver has ended, once it has.
fn end_of<T: serde::de::DeserializeOwned + Send + 'static>(receiver: Receiver<T>) -> CallError {
    within(LONG, move || {
        receiver.iter().for_each(drop);
        receiver.ended().expect("it has ended")
    })
}

fn in_good_order(end: &CallError) -> bool {
    matches!(end, CallError::Cancelled { reason, .. } if reason == "Channel closed by remote end.")
}

/// Takes everything.
fn all<T: serde::de::DeserializeOwned + Send + 'static>(receiver: &Arc<Receiver<T>>) -> Vec<T> {
    let receiver = receiver.clone();
    within(LONG, move || receiver.iter().collect())
}

fn below(context: &Context, name: &str) -> Context {
    Worker::stub(context).start_child(name.into()).wait().unwrap()
}

#[test]
fn typed_values_come_in_order_from_a_child_a_grandchild_and_a_sibling_of_the_receiver() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    for context in [&child, &grandchild] {
        let receiver = Arc::new(bench.router.receiver::<u32>());
        let counting = Feeder::stub(context).count(receiver.sender(), 0, 20_000);
        assert!(all(&receiver).into_iter().eq(0..20_000));
        assert!(in_good_order(&receiver.ended().unwrap()), "{:?}", receiver.ended());
        counting.wait().unwrap();
    }
    // From a sibling: the receiver is in one child, the sender in another.
    let sibling = bench.child("sibling");
    let to = Feeder::stub(&sibling).open().wait().unwrap();
    let sum = Feeder::stub(&sibling).sum();
    Feeder::stub(&grandchild).count(to.clone(), 0, 1000).wait().unwrap();
    drop(to);
    assert_eq!(sum.wait_timeout(LONG).unwrap(), (0..1000).sum::<u32>());
}

#[test]
fn bytes_come_as_they_are_also_larger_ones_than_the_window() {
    let bench = Bench::new();
    let child = bench.child("child");
    for (count, size) in [(200, 10), (100, 100_000), (5, 3_000_000), (3, 0)] {
        let receiver = Arc::new(bench.router.receiver::<Blob>());
        let call = Feeder::stub(&child).blobs(receiver.sender(), count, size);
        let got = all(&receiver);
        assert_eq!(got.len(), usize::from(count));
        for (number, blob) in (0_u8..).zip(got) {
            assert_eq!(blob.len(), size);
            assert!(blob.iter().all(|byte| *byte == number));
        }
        call.wait().unwrap();
    }
}

#[test]
fn a_receiver_given_to_three_workers_ends_after_the_last_of_them() {
    let bench = Bench::new();
    let workers = ["one", "two", "three"].map(|name| bench.child(name));
    // Both threads of two of them are busy, so that they claim late.
    let busy: Vec<_> = workers[1..]
        .iter()
        .flat_map(|worker| [0, 1].map(|_| Worker::stub(worker).hold(bench.root(), "busy".into())))
        .collect();
    let visits: Vec<_> = busy.iter().map(|_| bench.visit()).collect();
    let receiver = Arc::new(bench.router.receiver::<u32>());
    let mut calls: Vec<_> =
        workers.iter().map(|worker| Feeder::stub(worker).count(receiver.sender(), 0, 100)).collect();
    calls.remove(0).wait().unwrap();
    assert!(receiver.ended().is_none(), "two are on their way: {:?}", receiver.ended());
    // One that nobody waits for counts as well.
    calls.remove(0).detach();
    assert!(receiver.ended().is_none());
    visits.into_iter().for_each(|visit| visit.go());
    let mut got = all(&receiver);
    got.sort();
    assert!(got.into_iter().eq((0..100).flat_map(|number| [number; 3])));
    assert!(in_good_order(&receiver.ended().unwrap()));
    assert!(calls.remove(0).wait().is_ok());
}

/// Nobody has asked for more before all of them had one.
#[test]
fn senders_may_be_given_away_when_others_are_done_with_theirs() {
    let bench = Bench::new();
    let receiver = Arc::new(bench.router.receiver::<u32>());
    for number in 0..3 {
        let child = bench.child(&format!("child {number}"));
        Feeder::stub(&child).count(receiver.sender(), number, number + 1).wait().unwrap();
        child.shutdown(LONG).unwrap();
    }
    assert_eq!(all(&receiver), [0, 1, 2]);
    // Now it has ended.
    let late = Feeder::stub(&bench.child("late")).count(receiver.sender(), 0, 100_000).wait_timeout(LONG);
    assert!(matches!(late, Err(CallError::Refused { .. })), "{late:?}");
}

#[test]
fn a_sender_travels_in_a_result_in_a_struct_and_through_others() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    let feeder = Feeder::stub(&child);

    let to = feeder.open().wait().unwrap();
    let sum = feeder.sum();
    (0..1000).for_each(|number| to.send(number).unwrap());
    drop(to);
    assert_eq!(sum.wait_timeout(LONG).unwrap(), (0..1000).sum::<u32>());

    let receiver = Arc::new(bench.router.receiver::<u32>());
    let job = Job { numbers: vec![3, 1, 2], to: Some(receiver.sender()) };
    let work = feeder.work(job);
    assert_eq!(all(&receiver), [3, 1, 2]);
    work.wait().unwrap();

    // The child only passes it on; its own claim lasts as long as that.
    let receiver = Arc::new(bench.router.receiver::<u32>());
    let call = feeder.count_at(grandchild, receiver.sender(), 5, 105);
    assert!(all(&receiver).into_iter().eq(5..105));
    call.wait().unwrap();

    // Back where it came from it is a sender of the receiver's own process again.
    let receiver = bench.router.receiver::<u32>();
    let back = feeder.keep(receiver.sender());
    back.wait().unwrap();
    let back = feeder.back(receiver.sender()).wait().unwrap();
    back.send(7).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 7);
}

#[test]
fn a_sender_that_is_dropped_without_use_ends_the_receiver() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = bench.router.receiver::<u32>();
    feeder.keep(receiver.sender()).wait().unwrap();
    assert!(receiver.ended().is_none());
    feeder.forget_kept().wait().unwrap();
    assert!(in_good_order(&end_of(receiver)));
}

#[test]
fn all_senders_of_a_context_are_one_and_close_together() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = bench.router.receiver::<u32>();
    for _ in 0..3 {
        feeder.keep(receiver.sender()).wait().unwrap();
    }
    feeder.send_kept(7).wait().unwrap();
    assert_eq!([0; 3].map(|_| receiver.recv_timeout(LONG).unwrap()), [7; 3]);
    feeder.close_kept().wait().unwrap();
    let refused = feeder.send_kept(8).wait().unwrap_err();
    assert!(matches!(&refused, CallError::Cancelled { reason, .. } if reason == "Sender was explicitly closed"));
    assert!(in_good_order(&end_of(receiver)));
}

#[test]
fn a_sending_child_that_is_killed_tells_why_and_what_it_had_sent_arrives() {
    let bench = Bench::new();
    let child = bench.child("child");
    let feeder = Feeder::stub(&child);
    let (receiver, only) = (bench.router.receiver::<u32>(), bench.router.receiver::<u32>().from(&child));
    feeder.keep(receiver.sender()).wait().unwrap();
    feeder.send_kept(7).wait().unwrap();
    child.kill().unwrap();
    for (receiver, expected) in [(receiver, vec![7]), (only, vec![])] {
        let receiver = Arc::new(receiver);
        assert_eq!(all(&receiver), expected);
        let end = receiver.ended().unwrap();
        assert!(matches!(end, CallError::Dead { exit: Some(Exit::Signal { signal: 9, .. }), .. }), "{end}");
        assert!(matches!(receiver.recv(), Err(CallError::Dead { .. })));
    }
    // One for a context that is gone already ends at once.
    let late = bench.router.receiver::<u32>().from(&child);
    assert!(matches!(late.recv_timeout(LONG), Err(CallError::Dead { .. })));
}

#[test]
fn a_sibling_that_is_killed_ends_what_its_sibling_receives() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let to = Feeder::stub(&one).open().wait().unwrap();
    let sum = Feeder::stub(&one).sum();
    Feeder::stub(&two).keep(to.clone()).wait().unwrap();
    Feeder::stub(&two).send_kept(7).wait().unwrap();
    drop(to);
    two.kill().unwrap();
    assert_eq!(sum.wait_timeout(LONG).unwrap(), 7);
}

#[test]
fn a_send_that_waits_for_credit_wakes_when_the_receiving_child_is_killed() {
    let bench = Bench::new();
    let child = bench.child("child");
    let pid = Watched::new(Worker::stub(&child).pid().wait().unwrap());
    let to = Feeder::stub(&child).open().wait().unwrap();
    let (sent, waits) = mpsc::channel();
    let sending = thread::spawn(move || {
        loop {
            match to.try_send(1) {
                Ok(()) => {}
                Err(CallError::Overloaded { .. }) => break,
                Err(other) => return (other, to),
            }
        }
        sent.send(()).unwrap();
        (to.send(1).unwrap_err(), to)
    });
    waits.recv_timeout(LONG).unwrap();
    pid.signal(Signal::KILL);
    let killed = Instant::now();
    let (error, to) = within(LONG, move || sending.join().unwrap());
    println!("a sender was woken {:?} after its receiver was killed", killed.elapsed());
    assert!(matches!(error, CallError::Dead { exit: Some(Exit::Signal { signal: 9, .. }), .. }), "{error}");
    assert!(to.is_closed());
    assert!(matches!(to.send(1), Err(CallError::Dead { .. })));
    assert!(matches!(to.closed_reason(), Some(CallError::Dead { .. })));
}

#[test]
fn a_slow_receiver_stalls_its_sender_and_nobody_else() {
    let bench = Bench::new();
    let child = bench.child("child");
    let receiver = bench.router.receiver::<Blob>();
    // More than any queue of a stream takes.
    let call = Feeder::stub(&child).blobs(receiver.sender(), 200, 100_000);
    let worker = Worker::stub(&child);
    for number in 0..100 {
        assert_eq!(worker.echo(number.to_string()).wait_timeout(LONG).unwrap(), number.to_string());
    }
    let waiting = receiver.len();
    assert!(waiting <= 10, "{waiting} of 100,000 bytes wait in a window of 1 MiB");
    let got = within(LONG, move || receiver.into_iter().count());
    assert_eq!(got, 200);
    call.wait().unwrap();
}

#[test]
fn a_window_takes_as_much_as_it_says_and_gives_it_back() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = bench.router.receiver::<u32>();
    feeder.keep(receiver.sender()).wait().unwrap();
    let first = feeder.fill_kept().wait().unwrap();
    // Numbers take one to five bytes, and a message costs 64 more.
    assert!((1024 * 1024 / 69..1024 * 1024 / 65).contains(&first), "{first}");
    let mut got = 0;
    for _ in 0..3 {
        while got < first as u32 {
            let number = receiver.recv_timeout(LONG).unwrap();
            assert_eq!(number, got);
            got += 1;
        }
        // Credit arrives in front of the next call, by the same stream.
        assert_eq!(feeder.fill_kept().wait().unwrap(), first);
        got = 0;
    }
}

/// Both ends count by the same window, whichever contexts they are in, and whether it is a smaller or a
/// larger one than usual.
#[test]
fn the_window_of_the_root_is_that_of_the_whole_tree() {
    // So many small messages as the larger one takes still fit into the queue of a stream.
    for window in [10_000, 1_300_000] {
        let bench = Bench::with(Router::builder().receiver_window(window).build().unwrap());
        let near = bench.child("near");
        let far = below(&near, "far");
        let takes = |sent: usize| (window / 69..window / 65 + 1).contains(&sent);
        // From a child to its parent, from the root to a grandchild, and from sibling to sibling.
        let receiver = bench.router.receiver::<u32>();
        let feeder = Feeder::stub(&near);
        feeder.keep(receiver.sender()).wait().unwrap();
        let first = feeder.fill_kept().wait().unwrap();
        assert!(takes(first), "{first} of {window}");
        for number in 0..first as u32 {
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), number);
        }
        assert_eq!(feeder.fill_kept().wait().unwrap(), first);

        let to = Feeder::stub(&far).open().wait().unwrap();
        let sent = (0..).take_while(|number| to.try_send(*number).is_ok()).count();
        assert!(takes(sent) && !to.is_closed(), "{sent} of {window}");

        let sibling = Feeder::stub(&bench.child("sibling"));
        sibling.keep(Feeder::stub(&far).open().wait().unwrap()).wait().unwrap();
        let sent = sibling.fill_kept().wait().unwrap();
        assert!(takes(sent), "{sent} of {window}");
    }
}

#[test]
fn a_receiver_takes_as_many_contexts_as_the_root_says_and_refuses_the_next_one() {
    let bench = Bench::with(Router::builder().senders_per_receiver(2).build().unwrap());
    let feeders = ["one", "two", "three"].map(|name| Feeder::stub(&bench.child(name)));
    // In the root, and in another context below it: the root has decoded that one's sender, and claims.
    let other = Feeder::stub(&bench.child("other"));
    let receiver = bench.router.receiver::<u32>();
    for (sender, admitted) in [(receiver.sender(), 2), (other.open().wait().unwrap(), 1)] {
        for feeder in &feeders {
            feeder.keep(sender.clone()).wait().unwrap();
        }
        for feeder in &feeders[..admitted] {
            feeder.send_kept(1).wait().unwrap();
        }
        for feeder in &feeders[admitted..] {
            // Its refusal is on its way from a sibling.
            let error = (0..).find_map(|number| feeder.send_kept(number).wait().err()).unwrap();
            let CallError::Refused { reason, .. } = &error else { panic!("{error:?}") };
            assert_eq!(reason, "the receiver has as many senders as one may have (2)");
        }
        drop(sender);
        for feeder in &feeders {
            feeder.forget_kept().wait().unwrap();
        }
    }
    // Once what one has sent was taken, there is room for another one.
    assert_eq!([1, 1], [(); 2].map(|()| receiver.recv_timeout(LONG).unwrap()));
    feeders[2].keep(receiver.sender()).wait().unwrap();
    feeders[2].send_kept(3).wait().unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 3);
}

#[test]
fn closing_a_receiver_ends_its_senders_and_wakes_all_who_wait_for_it() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = Arc::new(bench.router.receiver::<Blob>());
    let call = feeder.blobs(receiver.sender(), 100, 100_000);
    receiver.recv().unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let receiver = receiver.clone();
            thread::spawn(move || {
                loop {
                    if let Err(error) = receiver.recv() {
                        break error;
                    }
                }
            })
        })
        .collect();
    receiver.close();
    receiver.close();
    for thread in waiting {
        let error = within(LONG, move || thread.join().unwrap());
        assert!(matches!(&error, CallError::Cancelled { reason, .. } if reason == "the Receiver has been closed"));
    }
    assert!(receiver.is_empty() && receiver.try_recv().unwrap().is_err());
    // It may have come to its end before.
    if let Err(error) = call.wait_timeout(LONG) {
        assert!(
            matches!(&error, CallError::Refused { reason, .. } if reason == "the Receiver has been closed"),
            "{error}"
        );
        assert_eq!(error.executed(), Executed::Yes);
    }
    // A sender that comes too late is told the same.
    let late = feeder.blobs(receiver.sender(), 100, 100_000).wait_timeout(LONG).unwrap_err();
    assert!(matches!(&late, CallError::Refused { reason, .. } if reason == "the Receiver has been closed"), "{late}");
}

#[test]
fn what_is_no_value_of_the_type_ends_its_sender_alone() {
    let bench = Bench::new();
    let receiver = bench.router.receiver::<Vec<String>>();
    // The child believes that numbers are wanted.
    let wrong = call_retyped(&bench.child("one"), receiver.sender());
    let error = receiver.recv_timeout(LONG).unwrap_err();
    assert!(matches!(&error, CallError::Malformed { .. }), "{error}");
    assert_eq!(error.path(), ["one"]);
    // It may have sent all before it was told.
    let _ = wrong.wait_timeout(LONG);
    assert!(matches!(end_of(receiver), CallError::Malformed { .. }));
}

/// Calls `count` by names, where a sender's type is not looked at.
fn call_retyped(context: &Context, to: Sender<Vec<String>>) -> Call<()> {
    #[derive(Serialize)]
    struct Args {
        to: Sender<Vec<String>>,
        from: u32,
        end: u32,
    }
    context.call_service(Feeder::DESCRIPTOR.name, "count", &Args { to, from: 0, end: 10 })
}

/// What a context has on its way counts for its next claim as well, and so does the credit for it.
#[test]
fn a_context_that_comes_back_has_the_window_that_it_has_left() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = bench.router.receiver::<u32>();
    let mut expected = Vec::new();
    for round in 0..20 {
        feeder.keep(receiver.sender()).wait().unwrap();
        let filled = feeder.fill_kept().wait().unwrap() as u32;
        expected.extend(0..filled);
        // Never more than one window waits.
        assert!(expected.len() < 1024 * 1024 / 65, "in round {round}: {filled}");
        feeder.forget_kept().wait().unwrap();
        // While the queue is not empty nobody asks for the end. In two of four rounds a part is taken, while no claim is open.
        let taken = if round % 2 == 0 { expected.len() / 3 } else { expected.len() - 1 };
        let rest = expected.split_off(taken.min(expected.len()));
        for number in std::mem::replace(&mut expected, rest) {
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), number);
        }
    }
    assert_eq!(receiver.len(), expected.len());
}

/// Senders that are decoded and dropped all the time claim and close one after the other.
#[test]
fn claims_that_come_and_go_at_the_same_time_lose_nothing() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = Arc::new(bench.router.receiver::<u32>());
    let calls: Vec<_> = (0..2000).map(|number| feeder.count(receiver.sender(), number, number + 1)).collect();
    let mut got = all(&receiver);
    got.sort();
    assert!(got.into_iter().eq(0..2000), "{:?}", receiver.ended());
    assert!(in_good_order(&receiver.ended().unwrap()));
    calls.into_iter().for_each(|call| call.wait().unwrap());
}

#[test]
fn a_service_of_the_receivers_own_process_is_a_sender_like_others() {
    let router = Router::builder().build().unwrap();
    let _pool = Pool::builder(&router).service(Feeder::default()).start().unwrap();
    let receiver = Arc::new(router.receiver::<u32>());
    let calls: Vec<_> = (0..3).map(|_| Feeder::stub(&router.myself()).count(receiver.sender(), 0, 30_000)).collect();
    assert_eq!(all(&receiver).len(), 90_000);
    assert!(in_good_order(&receiver.ended().unwrap()));
    calls.into_iter().for_each(|call| call.wait().unwrap());
}

#[test]
fn the_senders_that_a_program_uses_itself_end_nothing_by_being_dropped() {
    let router = Router::builder().build().unwrap();
    let receiver = router.receiver::<u32>();
    for number in 0..3 {
        receiver.sender().send(number).unwrap();
        assert!(receiver.ended().is_none());
    }
    let sender = receiver.sender();
    sender.send(3).unwrap();
    sender.close();
    assert!(sender.is_closed() && sender.send(4).is_err());
    assert!(receiver.iter().eq(0..4));
    assert!(in_good_order(&receiver.ended().unwrap()));
}

#[test]
fn a_timeout_for_credit_leaves_the_sender_as_it_was() {
    let router = Router::builder().build().unwrap();
    let receiver = router.receiver::<Blob>();
    let sender = receiver.sender();
    sender.send(vec![0; 2_000_000].into()).unwrap();
    let late = sender.send_timeout("late".into(), Duration::from_millis(5)).unwrap_err();
    assert!(matches!(late, CallError::DeadlineExceeded { .. }));
    assert_eq!(receiver.recv().unwrap().len(), 2_000_000);
    sender.send_timeout("in time".into(), Duration::MAX).unwrap();
    assert_eq!(receiver.recv().unwrap(), b"in time"[..]);
    assert!(receiver.is_empty());
}

#[test]
fn what_is_too_large_is_refused_and_smaller_values_go_on() {
    let router = Router::builder().max_message_size(100_000).build().unwrap();
    let receiver = router.receiver::<Blob>();
    let sender = receiver.sender();
    let error = sender.send(vec![0; 100_001].into()).unwrap_err();
    assert!(matches!(error, CallError::TooLarge { got: 100_001, max: 100_000, .. }), "{error}");
    sender.send(vec![0; 100_000].into()).unwrap();
    assert_eq!(receiver.len(), 1);
}

#[test]
fn a_sender_is_decoded_only_where_there_is_a_router() {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, SeqDeserializer};
    let parts = SeqDeserializer::<_, Error>::new(
        [0_u32, 5000, 7].into_iter().map(IntoDeserializer::<Error>::into_deserializer),
    );
    let error = Sender::<u32>::deserialize(parts).unwrap_err();
    assert!(error.to_string().starts_with("a `Sender` can be decoded only as an argument"), "{error}");
}

#[test]
fn the_end_of_the_router_wakes_everybody() {
    let bench = Bench::new();
    let child = bench.child("child");
    let to = Feeder::stub(&child).open().wait().unwrap();
    let receiver = Arc::new(bench.router.receiver::<u32>());
    let receiving = thread::spawn({
        let receiver = receiver.clone();
        move || receiver.recv()
    });
    let sending = thread::spawn(move || {
        loop {
            if let Err(error) = to.send(1) {
                break error;
            }
        }
    });
    bench.router.shutdown(Duration::from_secs(1));
    let error = within(LONG, move || receiving.join().unwrap()).unwrap_err();
    assert!(matches!(error, CallError::Dead { .. }), "{error}");
    let error = within(LONG, move || sending.join().unwrap());
    assert!(matches!(error, CallError::Dead { .. } | CallError::Refused { .. }), "{error}");
    assert!(matches!(bench.router.receiver::<u32>().recv(), Err(CallError::Dead { .. })));
}
