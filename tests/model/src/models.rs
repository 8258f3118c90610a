//! What is tried.

mod dedup;
mod ends;
mod files;
mod pool;
mod queue;
mod role;
mod select;
mod settle;
mod writer;

use std::future::poll_fn;

use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{future, thread};

use crate::latch::Latch;

/// All models.
pub(crate) const ALL: [(&str, fn()); 63] = [
    ("latch: the value reaches the thread that waits", latch_thread),
    ("latch: the value reaches the task that waits", latch_task),
    ("latch: who waits is nudged and still gets the value", latch_nudge),
    ("queue: each job is run once or given back, and the threads leave", queue::jobs),
    ("queue: jobs wait while their service is made", queue::activation),
    ("queue: a strand runs one at a time", queue::strand),
    ("queue: held jobs run after the release", queue::held),
    ("queue: jobs that a stream brings are run, whoever reads them", queue::brought),
    ("queue: a stream is read while all threads are busy", queue::watched),
    ("queue: a method that is trusted to be fast waits for another one", queue::trusted),
    ("queue: the next pool takes the place of one that stops", queue::successor),
    ("queue and latch: a thread that waits runs what its answer needs", queue::nested),
    ("queue and latch: a thread that waits looks again where it has looked in vain", queue::nested_in_vain),
    ("ends: of two services of one name one starts, and jobs wait for it", ends::two_of_one_name),
    ("ends: a service that starts while the queue closes is told of the end once", ends::start_and_close),
    ("ends: who ends a service second waits for the first", ends::two_ends),
    ("ends: a service of two names starts once", ends::two_names),
    ("role: callers get their answers, whatever their order", role::answers),
    ("role: a caller whose time is over hands the role on", role::timeout),
    ("role: what is no answer is read after a flow of calls", role::unsolicited),
    ("role: somebody waits who does not read", role::attended),
    ("role: the other end closes while callers wait", role::closed),
    ("role: the other end closes while nobody waits who reads", role::closed_unread),
    ("role: this end closes while callers wait", role::disconnected),
    ("role: a caller that reads does what its answer needs", role::nested),
    ("select: each event is got once, and the threads leave with the last member", select::events),
    ("select: each of two threads gets one of two events", select::shared),
    ("select: threads wait while the members are removed", select::removal),
    ("select: a member is removed while others have events", select::removal_of_another),
    ("select: closing wakes all", select::closing),
    ("select: events come while their member is added", select::adding),
    ("select: a member comes with events for two threads", select::added_with_two),
    ("select: the events of a select in a select", select::nested),
    ("dedup: one execution for three callers, and its result is kept", dedup::kept),
    ("dedup: three callers, and nothing is kept", dedup::aggregated),
    ("dedup: an invalidation in between", dedup::invalidated),
    ("dedup: a caller goes away", dedup::abandoned),
    ("settle: two threads wait until two calls have been answered", settle::answered),
    ("settle: callers give up or go while it is waited for them", settle::given_up),
    ("settle: one who has no time leaves and another one waits", settle::no_time),
    ("settle: whoever wants to know that a caller gives up is told", settle::told),
    ("files: each of three has its turn on a stream", files::turns),
    ("files: one that takes nothing makes way", files::stalled),
    ("files: one that takes nothing ends", files::requester_ends),
    ("files: the service ends while files wait and are sent", files::stopped),
    ("files: no more calls run at a time than may", files::bounded),
    ("files: the service ends while calls run and wait", files::bounded_and_stopped),
    ("files: calls for which there is no thread wait for others or are refused", files::calls_without_threads),
    ("files: a file for which there is no thread is refused", files::turns_without_threads),
    ("files: one that takes nothing makes way when there is a thread", files::stalled_without_threads),
    ("writer: what two senders queue leaves, whoever carries it", writer::carried),
    ("writer: a sender writes in turns, and others come between", writer::turns),
    ("writer: calls that are held and forgotten leave", writer::calls),
    ("writer: answers are held beside calls and others", writer::answers),
    ("writer: senders of bulk wait for the kernel", writer::bulk),
    ("writer: senders wait for room", writer::room),
    ("writer: a sender has no time to wait for room", writer::timeout),
    ("writer: who finds no room hears when there is some", writer::relief),
    ("writer: this end closes while all kinds of senders wait", writer::closed_here),
    ("writer: this end closes while nobody reads what was sent", writer::closed_unread),
    ("writer: the other end closes while all kinds of senders wait", writer::closed_there),
    ("writer: what is held at the end leaves", writer::held_at_the_end),
    ("writer: a process that ends waits for what it has sent", writer::drained),
];

fn latch_thread() {
    let latch = Arc::new(Latch::new());
    let putters: Vec<_> = (0..2)
        .map(|number| {
            let latch = latch.clone();
            thread::spawn(move || latch.put(number))
        })
        .collect();
    let value = latch.wait(None).unwrap();
    let first = putters.into_iter().map(|putter| putter.join().unwrap()).position(|first| first);
    assert_eq!(first, Some(value));
}

fn latch_task() {
    let latch = Arc::new(Latch::new());
    let others = [
        thread::spawn({
            let latch = latch.clone();
            move || latch.nudge()
        }),
        thread::spawn({
            let latch = latch.clone();
            move || {
                latch.put(7);
            }
        }),
    ];
    assert_eq!(future::block_on(poll_fn(|task| latch.poll(task))), 7);
    others.into_iter().for_each(|other| other.join().unwrap());
}

fn latch_nudge() {
    let latch = Arc::new(Latch::new());
    let nudged = Arc::new(AtomicUsize::new(0));
    let other = thread::spawn({
        let (latch, nudged) = (latch.clone(), nudged.clone());
        move || {
            latch.nudge();
            // The value comes only after the waiting thread has done what it was nudged for.
            while nudged.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            latch.put(7);
        }
    });
    let mut meanwhile = || {
        nudged.fetch_add(1, Ordering::SeqCst);
    };
    assert_eq!(latch.wait_and(None, Some(&mut meanwhile)), Some(7));
    other.join().unwrap();
}
