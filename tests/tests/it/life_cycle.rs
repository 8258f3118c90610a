//! What services do at the moments of their lives: `#[on_start]`, `#[on_message]`, `#[on_shutdown]`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use mitogen_service::{
    AllowAny, AllowParents, CallError, Caller, Context, Error, Event, EventKind, Executed, Pool, Router, Sender,
    ServiceScope, service, testing,
};
use mitogen_service_tests::LONG;

use crate::bench::{Bench, Worker};

/// Tells what happens to it, in order.
struct Told {
    tell: mpsc::Sender<String>,
    scope: Mutex<Option<ServiceScope>>,
    starts: AtomicUsize,
    fails: usize,
}

#[service(name = "told")]
impl Told {
    #[on_start]
    fn begin(&self, scope: &ServiceScope) -> Result<(), String> {
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        self.tell.send("started".to_owned()).unwrap();
        if start < self.fails {
            return Err(format!("start {start} fails"));
        }
        *self.scope.lock().unwrap() = Some(scope.clone());
        Ok(())
    }

    #[expose(policy = AllowAny)]
    fn called(&self) {
        self.tell.send("called".to_owned()).unwrap();
    }

    /// Takes messages from whoever gets this sender, from now on.
    #[expose(policy = AllowAny)]
    fn subscribe(&self, name: String) -> Result<Sender<u32>, Error> {
        let scope = self.scope.lock().unwrap().clone().unwrap();
        let receiver = scope.router().receiver::<u32>();
        let sender = receiver.sender();
        scope.select().add(receiver, name)?;
        Ok(sender)
    }

    #[on_message(policy = not_from_mallory)]
    fn take(&self, event: Event) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        assert!(thread.starts_with("mitogen-pool-"), "{thread}");
        let key = event.key.to_string();
        let what = match event.kind {
            EventKind::Ended(_) => format!("{key} ended"),
            _ => format!("{key} {}", event.decode::<u32>().unwrap()),
        };
        if what == "one 13" {
            panic!("13");
        }
        self.tell.send(what).unwrap();
    }

    #[on_shutdown]
    fn end(&self) {
        self.tell.send("ended".to_owned()).unwrap();
    }
}

fn not_from_mallory(_: &Told, caller: &Caller) -> bool {
    caller.context().name() != "mallory"
}

fn told(fails: usize) -> (Told, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    (Told { tell, scope: Mutex::default(), starts: AtomicUsize::new(0), fails }, told)
}

fn next(told: &mpsc::Receiver<String>) -> String {
    told.recv_timeout(LONG).unwrap()
}

/// Sends numbers from another process.
#[derive(Default)]
struct Numbers(Mutex<Option<Sender<u32>>>);

#[service(activate)]
impl Numbers {
    #[expose(policy = AllowParents)]
    fn subscribe(&self, at: Context, name: String) -> Result<(), CallError> {
        *self.0.lock().unwrap() = Some(Told::stub(&at).subscribe(name).wait()?);
        Ok(())
    }

    #[expose(policy = AllowParents)]
    fn send(&self, numbers: Vec<u32>) -> Result<(), CallError> {
        let sender = self.0.lock().unwrap().clone().unwrap();
        numbers.into_iter().try_for_each(|number| sender.send(number))
    }

    #[expose(policy = AllowParents)]
    fn drop_it(&self) {
        self.0.lock().unwrap().take();
    }
}

/// Leaves a file when it ends.
struct Leaves(PathBuf);

#[service(name = "leaves", activate = Self::create)]
impl Leaves {
    fn create(_: &ServiceScope) -> Result<Self, String> {
        std::env::var_os("MITOGEN_SERVICE_TEST_LEAVES").map(|path| Self(path.into())).ok_or("no path".to_owned())
    }

    #[expose(policy = AllowAny)]
    fn here(&self) {}

    #[on_shutdown]
    fn end(&self) {
        std::fs::write(&self.0, "it has ended").unwrap();
    }
}

/// Does not come to its end.
#[derive(Default)]
struct Stubborn;

#[service(activate)]
impl Stubborn {
    #[expose(policy = AllowAny)]
    fn here(&self) {}

    #[on_shutdown]
    fn end(&self) {
        std::thread::sleep(Duration::from_secs(600));
    }
}

/// Fails to start the first time.
#[derive(Default)]
struct SecondTime;

static STARTS: AtomicUsize = AtomicUsize::new(0);

#[service(name = "second time", activate)]
impl SecondTime {
    #[on_start]
    fn begin(&self) -> Result<(), std::io::Error> {
        match STARTS.fetch_add(1, Ordering::SeqCst) {
            0 => Err(std::io::Error::other("not yet")),
            1 => panic!("not now"),
            _ => Ok(()),
        }
    }

    #[expose(policy = AllowAny)]
    fn here(&self) -> usize {
        STARTS.load(Ordering::SeqCst)
    }
}

#[test]
fn a_service_starts_before_its_first_call_and_ends_once_after_the_last() {
    let (service, told) = told(0);
    let router = Router::builder().build().unwrap();
    let pool = Pool::builder(&router).size(2).service(service).start().unwrap();
    assert_eq!(next(&told), "started");
    let stub = Told::stub(&router.myself());
    for _ in 0..3 {
        stub.called().wait().unwrap();
        assert_eq!(next(&told), "called");
    }
    assert!(pool.close(LONG).is_empty());
    assert_eq!(next(&told), "ended");
    assert!(pool.close(LONG).is_empty());
    drop(router);
    assert!(told.recv().is_err(), "it happens once");
}

#[test]
fn a_service_that_is_added_and_fails_to_start_is_not_there() {
    let router = Router::builder().build().unwrap();
    let pool = Pool::builder(&router).size(1).start().unwrap();
    let (service, _told) = told(1);
    let error = pool.add(service).unwrap_err();
    assert!(error.to_string().contains("start 0 fails"), "{error}");
    let (service, _told) = told(0);
    pool.add(service).unwrap();
    Told::stub(&router.myself()).called().wait().unwrap();
}

#[test]
fn a_service_that_fails_to_start_is_tried_again_by_the_next_call() {
    let (parent, _child) = testing::pair();
    let stub = SecondTime::stub(&parent.children()[0]);
    for why in ["not yet", "not now"] {
        let error = stub.here().wait_timeout(LONG).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.executed(), Executed::No);
    }
    assert_eq!(stub.here().wait_timeout(LONG).unwrap(), 3);
}

#[test]
fn what_arrives_at_the_select_of_a_service_is_taken_by_it_in_order() {
    let (service, told) = told(0);
    let bench = Bench::new();
    bench.pool.add(service).unwrap();
    assert_eq!(next(&told), "started");
    let children = ["one", "two"].map(|name| (name, Numbers::stub(&bench.child(name))));
    for (name, numbers) in &children {
        numbers.subscribe(bench.root(), (*name).to_owned()).wait().unwrap();
    }
    // Both at once, and 13 makes the method panic, which harms nothing.
    let calls: Vec<_> = children.iter().map(|(_, numbers)| numbers.send((0..500).collect())).collect();
    let got: Vec<_> = (0..999).map(|_| next(&told)).collect();
    for name in ["one", "two"] {
        let numbers = got.iter().filter_map(|got| got.strip_prefix(&format!("{name} ")));
        let expected = (0..500).filter(|number| (name, *number) != ("one", 13)).map(|number| number.to_string());
        assert!(numbers.eq(expected), "{got:?}");
    }
    calls.into_iter().for_each(|call| call.wait().unwrap());
    // One goes, another one comes.
    children[0].1.drop_it().wait().unwrap();
    assert_eq!(next(&told), "one ended");
    let third = Numbers::stub(&bench.child("three"));
    third.subscribe(bench.root(), "three".to_owned()).wait().unwrap();
    third.send(vec![7]).wait().unwrap();
    assert_eq!(next(&told), "three 7");
    bench.pool.close(LONG);
    assert_eq!(next(&told), "ended");
}

#[test]
fn messages_of_those_whom_the_policy_refuses_are_not_taken() {
    let (service, told) = told(0);
    let bench = Bench::new();
    bench.pool.add(service).unwrap();
    assert_eq!(next(&told), "started");
    for name in ["mallory", "alice"] {
        let numbers = Numbers::stub(&bench.child(name));
        numbers.subscribe(bench.root(), name.to_owned()).wait().unwrap();
        numbers.send(vec![1]).wait().unwrap();
        if name == "mallory" {
            numbers.drop_it().wait().unwrap();
            assert_eq!(next(&told), "mallory ended", "and not the message before");
        } else {
            assert_eq!(next(&told), "alice 1");
        }
    }
}

fn wait_for(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(began.elapsed() < LONG, "nothing was left at {}", path.display()),
        }
        // Nobody tells when a file is there.
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn services_hear_of_the_end_of_their_context_also_when_the_parent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let path = folder.path().join("shutdown");
    let child = bench.router.local().env("MITOGEN_SERVICE_TEST_LEAVES", &path).connect().unwrap();
    Leaves::stub(&child).here().wait().unwrap();
    child.shutdown(LONG).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "it has ended", "before the shutdown was over");

    let path = folder.path().join("killed");
    let hop = bench.router.local().name("hop").env("MITOGEN_SERVICE_TEST_LEAVES", &path).connect().unwrap();
    let below = Worker::stub(&hop).start_child("below".into()).wait().unwrap();
    Leaves::stub(&below).here().wait().unwrap();
    hop.kill().unwrap();
    assert_eq!(wait_for(&path), "it has ended");
}

#[test]
fn a_service_that_does_not_come_to_its_end_holds_nobody_up_for_long() {
    let bench = Bench::new();
    let child = bench.child("stubborn");
    Stubborn::stub(&child).here().wait().unwrap();
    let began = Instant::now();
    child.shutdown(Duration::from_millis(100)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
