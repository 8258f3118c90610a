//! A root with a pool, and the service that most tests start in their children.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, Blob, CallError, Caller, Context, Pool, Reply, Router, service};
use mitogen_service_tests::LONG;
use rustix::process::{Signal, getpid, kill_process};

/// The root of a tree, for one test.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) pool: Pool,
    visits: mpsc::Receiver<Visit>,
}

/// Somebody has come to the root's [`Gate`], and waits there.
pub(crate) struct Visit {
    pub(crate) name: String,
    reply: Reply<()>,
}

impl Visit {
    /// Lets the visitor go on.
    pub(crate) fn go(self) {
        self.reply.send(Ok(()));
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Router::builder().build().unwrap())
    }

    pub(crate) fn with(router: Router) -> Self {
        let (arrivals, visits) = mpsc::channel();
        let pool = Pool::builder(&router).size(2).service(Gate(arrivals)).start().unwrap();
        Self { router, pool, visits }
    }

    pub(crate) fn child(&self, name: &str) -> Context {
        self.router.local().name(name).connect().unwrap()
    }

    /// The root's own context, which methods are given to find its gate.
    pub(crate) fn root(&self) -> Context {
        self.router.myself()
    }

    /// Waits for somebody to come to the gate, and leaves them there.
    pub(crate) fn visit(&self) -> Visit {
        self.visits.recv_timeout(LONG).expect("somebody comes to the gate")
    }

    /// Waits for a visitor of this name, and lets it go on.
    pub(crate) fn pass(&self, name: &str) {
        let visit = self.visit();
        assert_eq!(visit.name, name);
        visit.go();
    }
}

/// Where methods of other contexts come to, wait, and are let go by the test.
pub(crate) struct Gate(mpsc::Sender<Visit>);

#[service(name = "gate")]
impl Gate {
    #[expose(policy = AllowAny)]
    fn pass(&self, name: String, reply: Reply<()>) {
        // A test that is over takes no more visitors.
        let _ = self.0.send(Visit { name, reply });
    }
}

/// Does what tests want done in another process.
#[derive(Default)]
pub(crate) struct Worker {
    count: AtomicUsize,
}

#[service(activate)]
impl Worker {
    #[expose(policy = AllowAny)]
    fn echo(&self, text: String) -> String {
        text
    }

    #[expose(policy = AllowAny)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Each byte inverted, so that an answer cannot be an echo of something older.
    #[expose(policy = AllowAny)]
    fn invert(&self, data: Blob) -> Blob {
        data.iter().map(|byte| !byte).collect::<Vec<_>>().into()
    }

    /// As many bytes as are wanted.
    #[expose(policy = AllowAny)]
    fn produce(&self, size: usize, byte: u8) -> Blob {
        vec![byte; size].into()
    }

    #[expose(policy = AllowAny)]
    fn path(&self, path: PathBuf) -> PathBuf {
        path.join("below")
    }

    #[expose(policy = AllowAny)]
    fn mark(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    #[expose(policy = AllowAny)]
    fn marks(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    #[expose(policy = AllowAny)]
    fn fail(&self, text: String) -> Result<(), String> {
        Err(text)
    }

    #[expose(policy = AllowAny)]
    fn panic(&self, text: String) {
        panic!("{text}");
    }

    /// Goes to the gate under this name, and comes back when it is let go.
    #[expose(policy = AllowAny)]
    fn hold(&self, gate: Context, name: String) -> Result<String, CallError> {
        Gate::stub(&gate).pass(name.clone()).wait()?;
        Ok(name)
    }

    /// The same on a thread of its own, so that any number of them keeps no thread of the pool.
    #[expose(policy = AllowAny)]
    fn hold_aside(&self, gate: Context, name: String, reply: Reply<String>) {
        thread::spawn(move || reply.send(Gate::stub(&gate).pass(name.clone()).wait().map(|()| name)));
    }

    /// Says at the gate that it runs, and later that it was cancelled.
    #[expose(policy = AllowAny)]
    fn hold_until_cancelled(&self, gate: Context, caller: &Caller) -> Result<(), CallError> {
        assert!(!caller.is_cancelled());
        Gate::stub(&gate).pass("running".into()).wait()?;
        while !caller.is_cancelled() {
            // There is nothing to wait for: a method asks now and then.
            thread::sleep(Duration::from_millis(1));
        }
        Gate::stub(&gate).pass("cancelled".into()).wait()
    }

    /// Says at the gate when another context has ended, as seen from here.
    #[expose(policy = AllowAny)]
    fn tell_end(&self, gate: Context, of: Context) {
        let name = format!("end of {of}");
        of.on_disconnect(move || Gate::stub(&gate).pass(name).detach()).detach();
    }

    #[expose(policy = AllowAny)]
    fn start_child(&self, name: String, router: &Router) -> mitogen_service::Result<Context> {
        router.local().name(name).connect()
    }

    #[expose(policy = AllowAny)]
    fn end_child(&self, child: Context) -> mitogen_service::Result<()> {
        child.shutdown(Duration::from_secs(5))
    }

    #[expose(policy = AllowAny)]
    fn myself(&self, router: &Router) -> Context {
        router.myself()
    }

    #[expose(policy = AllowAny)]
    fn caller(&self, caller: &Caller) -> Context {
        caller.context()
    }

    #[expose(policy = AllowAny)]
    fn same(&self, one: Context, other: Context) -> bool {
        one == other
    }

    #[expose(policy = AllowAny)]
    fn is_connected(&self, context: Context) -> bool {
        context.is_connected()
    }

    /// Calls [`echo`](Self::echo) somewhere else.
    #[expose(policy = AllowAny)]
    fn echo_at(&self, target: Context, text: String) -> Result<String, CallError> {
        Self::stub(&target).echo(text).wait()
    }

    /// Calls [`fail`](Self::fail) somewhere else, through others.
    #[expose(policy = AllowAny)]
    fn fail_at(&self, mut through: Vec<Context>, text: String) -> Result<(), CallError> {
        let next = Self::stub(&through.remove(0));
        if through.is_empty() { next.fail(text).wait() } else { next.fail_at(through, text).wait() }
    }

    /// Calls [`hold_aside`](Self::hold_aside) somewhere else.
    #[expose(policy = AllowAny)]
    fn hold_at(&self, target: Context, gate: Context, name: String) -> Result<String, CallError> {
        Self::stub(&target).hold_aside(gate, name).wait()
    }

    /// Calls a method without arguments somewhere else.
    #[expose(policy = AllowAny)]
    fn ask(&self, target: Context, service: String, method: String) -> Result<(), CallError> {
        target.call_service(&service, &method, &()).wait()
    }

    /// Answers from another thread, or not at all.
    #[expose(policy = AllowAny)]
    fn later(&self, answer: Option<String>, reply: Reply<String>) {
        thread::spawn(move || match answer {
            Some(answer) => reply.send(Ok(answer)),
            None => drop(reply),
        });
    }

    /// Ends the process in a way of its own, with some last words.
    #[expose(policy = AllowAny)]
    fn crash(&self, how: String) {
        for number in 0..30 {
            eprintln!("last words {number}");
        }
        match how.as_str() {
            "abort" => std::process::abort(),
            "exit" => std::process::exit(3),
            // The first one may only remove a handler.
            "segv" => loop {
                kill_process(getpid(), Signal::SEGV).unwrap();
            },
            other => panic!("unknown way to crash: {other}"),
        }
    }
}
