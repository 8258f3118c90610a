//! Calls that are awaited: with tokio on one thread and on several, with smol, and with an executor
//! of a few lines. Nothing of the crate knows any of them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, Call, CallError, Context, Pool, Router, service, testing};
use mitogen_service_tests::{LONG, within};

use crate::bench::{Bench, Worker, WorkerStub};
use crate::calls::block_on;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor: tasks that are woken stand in a queue, and any number of threads take them from it.
///
/// Each task goes to another thread than before if there are several, since they take turns.
struct Tasks {
    threads: Vec<mpsc::Sender<Arc<OneTask>>>,
}

struct OneTask {
    job: std::sync::Mutex<Option<Job>>,
    queues: Vec<mpsc::Sender<Arc<OneTask>>>,
    polls: AtomicUsize,
}

impl Wake for OneTask {
    fn wake(self: Arc<Self>) {
        let next = self.polls.fetch_add(1, Ordering::SeqCst) % self.queues.len();
        let queue = self.queues[next].clone();
        // An executor that has ended runs nothing.
        let _ = queue.send(self);
    }
}

impl Tasks {
    fn new(threads: usize) -> Self {
        let start = |_| {
            let (queue, woken) = mpsc::channel::<Arc<OneTask>>();
            thread::spawn(move || {
                while let Ok(task) = woken.recv() {
                    let waker = Waker::from(task.clone());
                    let mut job = task.job.lock().unwrap();
                    let is_ready =
                        job.as_mut().is_some_and(|job| job.as_mut().poll(&mut Task::from_waker(&waker)).is_ready());
                    if is_ready {
                        *job = None;
                    }
                }
            });
            queue
        };
        Self { threads: (0..threads).map(start).collect() }
    }

    /// Runs a future as a task; its output comes out here.
    fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> mpsc::Receiver<T> {
        let (done, output) = mpsc::channel();
        let job = async move {
            // Nobody may want it.
            let _ = done.send(future.await);
        };
        let task = OneTask {
            job: std::sync::Mutex::new(Some(Box::pin(job))),
            queues: self.threads.clone(),
            polls: AtomicUsize::new(0),
        };
        Arc::new(task).wake();
        output
    }
}

fn single() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn several() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap()
}

/// An answer, an error of the method, and a context that is not there any more.
async fn one_of_each(worker: WorkerStub, gone: WorkerStub) {
    assert_eq!(worker.echo("text".into()).await.unwrap(), "text");
    assert!(matches!(worker.fail("no".into()).await, Err(CallError::Failed { .. })));
    assert!(matches!(gone.marks().await, Err(CallError::Dead { .. })));
}

#[test]
fn calls_can_be_awaited_everywhere() {
    let bench = Bench::new();
    let child = bench.child("gone");
    child.kill().unwrap();
    let (worker, gone) = (Worker::stub(&bench.child("worker")), Worker::stub(&child));
    within(3 * LONG, move || {
        single().block_on(one_of_each(worker.clone(), gone.clone()));
        let runtime = several();
        runtime.block_on(runtime.spawn(one_of_each(worker.clone(), gone.clone()))).unwrap();
        smol::block_on(one_of_each(worker.clone(), gone.clone()));
        smol::block_on(smol::spawn(one_of_each(worker.clone(), gone.clone())));
        block_on(one_of_each(worker.clone(), gone.clone()));
        Tasks::new(2).spawn(one_of_each(worker, gone)).recv().unwrap();
    });
}

/// A task for each of a thousand calls.
fn thousand(worker: &WorkerStub) -> impl Iterator<Item = (String, Call<String>)> + use<> {
    let worker = worker.clone();
    (0..1000).map(move |number| (number.to_string(), worker.echo(number.to_string())))
}

async fn check((text, call): (String, Call<String>)) -> bool {
    call.await.unwrap() == text
}

#[test]
fn a_thousand_calls_are_joined_everywhere() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    within(3 * LONG, move || {
        for runtime in [single(), several()] {
            runtime.block_on(async {
                let mut tasks: tokio::task::JoinSet<_> = thousand(&worker).map(check).collect();
                let mut right = 0;
                while let Some(is_right) = tasks.join_next().await {
                    right += usize::from(is_right.unwrap());
                }
                assert_eq!(right, 1000);
            });
        }
        smol::block_on(async {
            let tasks: Vec<_> = thousand(&worker).map(|each| smol::spawn(check(each))).collect();
            for task in tasks {
                assert!(task.await);
            }
        });
        let executor = Tasks::new(3);
        let outputs: Vec<_> = thousand(&worker).map(|each| executor.spawn(check(each))).collect();
        assert!(outputs.into_iter().all(|output| output.recv().unwrap()));
        // All of them in one task.
        block_on(join_all(thousand(&worker).map(check).collect())).into_iter().for_each(|is_right| assert!(is_right));
    });
}

/// Polls all of them with the same waker whenever it is woken.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut left: VecDeque<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs = Vec::new();
    std::future::poll_fn(move |task| {
        for _ in 0..left.len() {
            let Some(mut future) = left.pop_front() else { break };
            match future.as_mut().poll(task) {
                Poll::Ready(output) => outputs.push(output),
                Poll::Pending => left.push_back(future),
            }
        }
        if left.is_empty() { Poll::Ready(std::mem::take(&mut outputs)) } else { Poll::Pending }
    })
    .await
}

#[test]
fn a_timeout_of_tokio_cancels_the_call_in_the_callee() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    for runtime in [single(), several()] {
        let call = worker.hold_until_cancelled(bench.root());
        // It runs before its time is over.
        bench.pass("running");
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(20), call).await.expect_err("it does not return by itself");
        });
        bench.pass("cancelled");
        let in_time = async { tokio::time::timeout(LONG, worker.echo("in time".into())).await };
        assert_eq!(runtime.block_on(in_time).unwrap().unwrap(), "in time");
    }
}

#[test]
fn a_timeout_of_smol_cancels_the_call_in_the_callee() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let call = worker.hold_until_cancelled(bench.root());
    bench.pass("running");
    let timed = smol::future::or(async { Some(call.await) }, async {
        smol::Timer::after(Duration::from_millis(20)).await;
        None
    });
    assert!(smol::block_on(timed).is_none());
    bench.pass("cancelled");
}

#[test]
fn a_task_that_is_aborted_cancels_its_call() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let runtime = several();
    let call = worker.hold_until_cancelled(bench.root());
    let task = runtime.spawn(call);
    bench.pass("running");
    task.abort();
    bench.pass("cancelled");
    assert!(runtime.block_on(task).unwrap_err().is_cancelled());
    // So does the end of the whole runtime.
    let call = worker.hold_until_cancelled(bench.root());
    runtime.spawn(call);
    bench.pass("running");
    drop(runtime);
    bench.pass("cancelled");
}

#[test]
fn select_takes_the_first_of_two_calls_and_cancels_the_other() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    for runtime in [single(), several()] {
        let (slow, fast) = (worker.hold_until_cancelled(bench.root()), worker.echo("fast".into()));
        bench.pass("running");
        let first = runtime.block_on(async {
            tokio::select! {
                slow = slow => slow.map(|()| "slow".to_owned()),
                fast = fast => fast,
            }
        });
        assert_eq!(first.unwrap(), "fast");
        bench.pass("cancelled");

        // By reference the other one goes on.
        let (mut held, fast) = (worker.hold(bench.root(), "held".into()), worker.echo("fast".into()));
        let visit = bench.visit();
        let later = runtime.block_on(async {
            tokio::select! {
                _ = &mut held => panic!("nobody has let it go"),
                fast = fast => assert_eq!(fast.unwrap(), "fast"),
            }
            visit.go();
            held.await
        });
        assert_eq!(later.unwrap(), "held");
    }
}

/// Tells each time that it is woken.
struct Alarm(mpsc::Sender<()>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let woken = self.0.clone();
        // Before anybody can know, who may count how many there are.
        drop(self);
        let _ = woken.send(());
    }
}

impl Alarm {
    fn new() -> (Arc<Self>, mpsc::Receiver<()>) {
        let (sender, woken) = mpsc::channel();
        (Arc::new(Self(sender)), woken)
    }

    fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Task::from_waker(&Waker::from(self.clone())))
    }
}

#[test]
fn the_last_waker_is_woken_and_those_before_it_are_let_go() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let mut call = worker.hold(bench.root(), "held".into());
    let visit = bench.visit();
    let ((first, first_woken), (last, last_woken)) = (Alarm::new(), Alarm::new());
    assert!(first.poll(&mut call).is_pending());
    assert_eq!(Arc::strong_count(&first), 2, "the call has one");
    for _ in 0..3 {
        assert!(last.poll(&mut call).is_pending());
    }
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&last)), (1, 2));
    visit.go();
    last_woken.recv_timeout(LONG).unwrap();
    let Poll::Ready(result) = first.poll(&mut call) else { panic!("it is ready, whoever asks") };
    assert_eq!(result.unwrap(), "held");
    // Nobody is left who could wake one.
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&last)), (1, 1));
    assert!(first_woken.try_recv().is_err() && last_woken.try_recv().is_err());
}

#[test]
fn a_call_may_be_polled_on_one_thread_and_then_on_others() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let mut call = worker.hold(bench.root(), "held".into());
    let visit = bench.visit();
    for _ in 0..5 {
        call = thread::spawn(move || {
            assert!(Alarm::new().0.poll(&mut call).is_pending());
            call
        })
        .join()
        .unwrap();
    }
    let last = thread::spawn(move || block_on(call));
    visit.go();
    assert_eq!(within(LONG, move || last.join().unwrap()).unwrap(), "held");
}

/// Waits for many calls one after the other.
async fn wander(worker: WorkerStub, steps: usize) -> usize {
    let mut threads = std::collections::HashSet::new();
    for number in 0..steps {
        threads.insert(thread::current().id());
        assert_eq!(worker.echo(number.to_string()).await.unwrap(), number.to_string());
    }
    threads.len()
}

#[test]
fn a_task_that_moves_between_threads_gets_its_answers() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    within(3 * LONG, move || {
        // Here each wake goes to the next thread.
        let executor = Tasks::new(3);
        let outputs: Vec<_> = (0..20).map(|_| executor.spawn(wander(worker.clone(), 50))).collect();
        let threads: usize = outputs.into_iter().map(|output| output.recv().unwrap()).max().unwrap();
        assert_eq!(threads, 3);
        let runtime = several();
        let tasks: Vec<_> = (0..20).map(|_| runtime.spawn(wander(worker.clone(), 50))).collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    });
}

#[test]
fn a_call_that_is_awaited_when_its_router_ends_fails() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let runtime = several();
    let calls: Vec<_> = (0..50).map(|number| worker.hold_aside(bench.root(), number.to_string())).collect();
    let never_polled = worker.hold_aside(bench.root(), "never polled".into());
    let _visits: Vec<_> = (0..51).map(|_| bench.visit()).collect();
    let tasks: Vec<_> = calls.into_iter().map(|call| runtime.spawn(call)).collect();
    bench.router.shutdown(Duration::from_millis(100));
    let after = async {
        for task in tasks {
            let result = task.await.unwrap();
            assert!(matches!(result, Err(CallError::Dead { .. })), "{result:?}");
        }
        let begun_before = never_polled.await;
        assert!(matches!(begun_before, Err(CallError::Dead { .. })), "{begun_before:?}");
        let begun_now = worker.marks().await;
        assert!(matches!(begun_now, Err(CallError::Dead { .. })), "{begun_now:?}");
    };
    runtime.block_on(async { tokio::time::timeout(LONG, after).await }).expect("nothing hangs");
}

#[test]
fn a_call_that_is_awaited_when_its_context_is_killed_fails() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let calls: Vec<_> =
        (0..50).map(|number| Worker::stub(&child).hold_aside(bench.root(), number.to_string())).collect();
    let _visits: Vec<_> = (0..50).map(|_| bench.visit()).collect();
    let tasks: Vec<_> = calls.into_iter().map(smol::spawn).collect();
    child.kill().unwrap();
    within(LONG, || {
        for task in tasks {
            assert!(matches!(smol::block_on(task), Err(CallError::Dead { .. })));
        }
    });
}

#[test]
fn the_deadline_of_an_awaited_call_needs_no_timer_of_the_executor() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker")).with_timeout(Duration::from_millis(50));
    let call = worker.hold_aside(bench.root(), "held".into());
    let _visit = bench.visit();
    // This one has no timer at all.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = within(LONG, move || runtime.block_on(call)).unwrap_err();
    assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
}

/// Calls back and awaits what it has called.
struct Awaiting;

#[service(name = "awaiting")]
impl Awaiting {
    #[expose(policy = AllowAny)]
    fn bounce(&self, here: Context, there: Context, times: u32) -> Result<u32, CallError> {
        if times == 0 {
            return Ok(0);
        }
        Ok(1 + block_on(Awaiting::stub(&there).bounce(there, here, times - 1))?)
    }
}

/// Two contexts with one thread each.
fn two_with_one_thread() -> (Router, Router) {
    let (parent, child) = testing::pair();
    for router in [&parent, &child] {
        Pool::builder(router).size(1).service(Awaiting).start().unwrap();
    }
    (parent, child)
}

#[test]
fn a_method_may_await_what_it_calls() {
    let (parent, _child) = two_with_one_thread();
    let (here, there) = (parent.children().remove(0), parent.myself());
    let call = Awaiting::stub(&here).bounce(here.clone(), there, 1);
    assert_eq!(call.wait_timeout(LONG).unwrap(), 1);
}

#[test]
fn a_method_that_awaits_is_called_back_by_what_it_waits_for() {
    let (parent, _child) = two_with_one_thread();
    let (here, there) = (parent.children().remove(0), parent.myself());
    let call = Awaiting::stub(&here).bounce(here.clone(), there, 2);
    assert_eq!(call.wait_timeout(LONG / 4).unwrap(), 2);
}
