//! The shell around the [`Book`]: locks, threads, calls and channels. A router has one.
//!
//! No lock is held while anything is sent, read or waited for. Each neighbour that is offered something has a
//! thread as long as there is something to do, a file that is received has one, and one hears what all
//! neighbours answer.

use std::sync::{Arc, mpsc};

use super::book::{Action, Book, Kinds, Targets, Version, Way};
use super::content::{Content, Writer};
use super::offer::{PushAnswer, PushOffer};
use super::offers::{End, Job};
use super::service::{PushFileService, Waiting};
use super::shelf::{LARGE_FILES, SMALL, SMALL_FILES};
use super::snapshot::Identity;
use super::stream;
use crate::channel::{Call, Event, EventKind, Receiver, Select, Sender};
use crate::error::{CallError, Trace};
use crate::files::error::FileError;
use crate::files::source::CHUNK;
use crate::latch::Latch;
use crate::router::{Context, Router};
use crate::sync::Mutex;
use crate::wire::{Blob, ContextId, DeadReason};

/// The kinds of a real book.
pub(super) struct Real;

impl Kinds for Real {
    type Content = Arc<Content>;
    type Outlet = Outlet;
    type Data = Sender<Blob>;
    type Waiter = Arc<Waiting>;
    type Turn = Arc<Latch<Result<(), FileError>>>;
}

/// Where the outcomes of a file go.
#[derive(Clone)]
pub(super) enum Outlet {
    /// To the context that has offered it.
    Above(Sender<PushAnswer>),
    /// To somebody of this process, for whom the file has a number.
    Local { file: usize, outcomes: mpsc::Sender<Outcome> },
}

/// What has become of a file in a context.
pub(super) struct Outcome {
    pub(super) file: usize,
    pub(super) context: ContextId,
    pub(super) result: Result<(), FileError>,
}

/// All pushed files of a router.
pub(super) struct Hub {
    book: Mutex<Book<Real, Identity>>,
    /// What neighbours say of what they were offered: the call of an offer under twice its number, and the
    /// answers that come by themselves under the next one.
    answers: Select,
    /// A thread hears them.
    hearing: Mutex<bool>,
}

impl Hub {
    /// That of a router.
    pub(super) fn of(router: &Router) -> Arc<Self> {
        let core = router.core();
        core.attached(|| {
            // The rest of the message is small beside it.
            let inline = SMALL.min(core.identity().max_message_size as u64 / 4);
            let book = Mutex::new(Book::new(SMALL_FILES, LARGE_FILES, inline));
            Arc::new(Self { book, answers: Select::new(), hearing: Mutex::new(false) })
        })
    }

    /// Tells the book something, and does what follows from it. `router` is one that does not keep itself open:
    /// threads get clones of it.
    pub(super) fn tell<R>(self: &Arc<Self>, router: &Router, tell: impl FnOnce(&mut Book<Real, Identity>) -> R) -> R {
        let (result, actions) = {
            let mut book = self.book.lock();
            (tell(&mut book), book.take_actions())
        };
        actions.into_iter().for_each(|action| self.act(router, action));
        result
    }

    /// How many files are kept, how many bytes they have, and how many wait for one.
    pub(super) fn usage(&self) -> (usize, u64, usize) {
        let book = self.book.lock();
        let (files, bytes) = book.usage();
        (files, bytes, book.waiting())
    }

    fn act(self: &Arc<Self>, router: &Router, action: Action<Real>) {
        match action {
            Action::Work(child) => self.work(router, child),
            Action::Watch(child) => self.watch(router, child),
            Action::Tell { outlet, context, result } => outlet.tell(context, result),
            Action::Present(Outlet::Above(answers)) => drop(answers.send(PushAnswer::Present)),
            Action::Receive { version, content, outlet: Outlet::Above(answers) } => {
                self.receive(router, version, content, answers);
            }
            Action::Present(Outlet::Local { .. }) | Action::Receive { outlet: Outlet::Local { .. }, .. } => {}
            Action::Wake { waiter, result } => waiter.put(result),
            Action::Go { turn, result } => drop(turn.put(result)),
            Action::DropContent(content) => drop(content),
            Action::DropData(data) => drop(data),
        }
    }

    // ---- neighbours below ----

    fn watch(self: &Arc<Self>, router: &Router, child: ContextId) {
        let (hub, router, context) = (Arc::downgrade(self), router.clone(), router.context_by_id(child));
        let ended = context.clone();
        let lost = move || {
            if let Some(hub) = hub.upgrade() {
                let why = unreachable(&router, &ended);
                hub.tell(&router, |book| book.lost(child, &why));
            }
        };
        context.on_disconnect(lost).detach();
    }

    fn work(self: &Arc<Self>, router: &Router, child: ContextId) {
        let (hub, own) = (self.clone(), router.clone());
        let spawned = router.core().ledger().spawn("mitogen-push", move || {
            while let Some(job) = hub.tell(&own, |book| book.next_job(child)) {
                hub.run(&own, child, job);
            }
        });
        if let Err(error) = spawned {
            let why = no_thread(&error);
            self.tell(router, |book| book.lost(child, &why));
        }
    }

    fn run(self: &Arc<Self>, router: &Router, child: ContextId, job: Job<Real>) {
        match job {
            Job::Stream { content, data } => {
                let chunk = CHUNK.min(router.core().identity().max_message_size);
                stream::send(&content, chunk, &data);
            }
            Job::Offer { offer, version, contexts, inline } => {
                let context = router.context_by_id(child);
                let answers: Receiver<PushAnswer> = router.receiver().from(&context);
                let Version { path, metadata, hash } = version;
                let offered = PushOffer { metadata, hash, contexts, answers: answers.sender() };
                let stub = PushFileService::stub(&context);
                let call = match inline.and_then(|content| content.blob()) {
                    Some(data) => stub.store_and_forward(path, data, offered),
                    None => stub.forward(path, offered),
                };
                self.hear(router, offer, call, answers);
            }
        }
    }

    /// Has what a neighbour says of an offer heard.
    fn hear(self: &Arc<Self>, router: &Router, offer: u64, call: Call<()>, answers: Receiver<PushAnswer>) {
        // Each offer has its own number, and nobody closes the select.
        let added = self.answers.add(call, 2 * offer).and_then(|()| self.answers.add(answers, 2 * offer + 1));
        let mut why = added.err().map(|error| CallError::from(error).into());
        let starts = !std::mem::replace(&mut *self.hearing.lock(), true);
        if starts {
            let (hub, own) = (self.clone(), router.clone());
            let spawned = router.core().ledger().spawn("mitogen-push", move || hub.hear_all(&own));
            if let Err(error) = spawned {
                *self.hearing.lock() = false;
                why = Some(no_thread(&error));
            }
        }
        if let Some(why) = why {
            self.give_up(router, offer, why);
        }
    }

    fn hear_all(self: &Arc<Self>, router: &Router) {
        loop {
            match self.answers.get() {
                Ok(event) => self.heard(router, &event),
                Err(_) => {
                    let mut hearing = self.hearing.lock();
                    // What is added from now on finds nobody who hears it, and starts a thread.
                    if self.answers.is_empty() {
                        *hearing = false;
                        return;
                    }
                }
            }
        }
    }

    fn heard(self: &Arc<Self>, router: &Router, event: &Event) {
        let Some(number) = event.key.number() else { return };
        let offer = number / 2;
        if number % 2 == 0 {
            let answer = event.decode::<()>();
            return self.tell(router, |book| book.end(offer, End::Call(answer)));
        }
        if let EventKind::Ended(why) = &event.kind {
            return self.tell(router, |book| book.end(offer, End::Answers(why.clone())));
        }
        match event.decode::<PushAnswer>() {
            Ok(PushAnswer::Wanted { data }) => {
                if event.caller.as_ref().is_some_and(|caller| caller.id() == data.destination()) {
                    return self.tell(router, |book| book.wanted(offer, data));
                }
                // It would have the bytes go to somebody else.
                let why = "the sender of a pushed file must lead to whoever asks for it";
                self.give_up(router, offer, FileError::invalid(why));
            }
            Ok(PushAnswer::Present) => self.tell(router, |book| book.present(offer)),
            Ok(PushAnswer::Outcome { context, error }) => {
                self.tell(router, |book| book.outcome(offer, context, error.map_or(Ok(()), Err)));
            }
            // Its end comes next.
            Err(_) => {}
        }
    }

    /// Waits for nothing more that a neighbour says of an offer.
    fn give_up(self: &Arc<Self>, router: &Router, offer: u64, why: FileError) {
        let removed = [self.answers.remove(2 * offer), self.answers.remove(2 * offer + 1)];
        drop(removed);
        let why = CallError::from(why);
        self.tell(router, |book| {
            book.end(offer, End::Call(Err(why.clone())));
            book.end(offer, End::Answers(why));
        });
    }

    // ---- files from above ----

    /// Asks for the bytes of a file, and takes them.
    fn receive(
        self: &Arc<Self>,
        router: &Router,
        version: Version,
        content: Arc<Content>,
        answers: Sender<PushAnswer>,
    ) {
        let (hub, own) = (self.clone(), router.clone());
        let hash = version.hash;
        let spawned = router.core().ledger().spawn("mitogen-push", move || {
            let result = ask(&own, &version, &content, answers);
            hub.tell(&own, |book| book.received(&version.hash, result));
        });
        if let Err(error) = spawned {
            let why = no_thread(&error);
            self.tell(router, |book| book.received(&hash, Err(why)));
        }
    }
}

fn ask(
    router: &Router,
    version: &Version,
    content: &Arc<Content>,
    answers: Sender<PushAnswer>,
) -> Result<(), FileError> {
    let writer = Writer::begin(content, &version.path)?;
    let from = router.context_by_id(answers.destination());
    let receiver: Receiver<Blob> = router.receiver().from(&from);
    let asked = answers.send(PushAnswer::Wanted { data: receiver.sender() });
    drop(answers);
    match asked {
        Ok(()) => stream::receive(&receiver, version, writer),
        Err(error) => Err(writer.fail(error.into())),
    }
}

impl Outlet {
    fn tell(&self, context: ContextId, result: Result<(), FileError>) {
        // Whoever is gone does not want to know.
        match self {
            Self::Above(answers) => drop(answers.send(PushAnswer::Outcome { context, error: result.err() })),
            Self::Local { file, outcomes } => drop(outcomes.send(Outcome { file: *file, context, result })),
        }
    }
}

/// How each of these contexts is reached.
pub(super) fn targets(router: &Router, contexts: impl IntoIterator<Item = ContextId>) -> Targets {
    let core = router.core();
    let parent = core.identity().parents.first().map(|(id, _)| *id);
    let way = |id| {
        if id == core.identity().id {
            return Way::Here;
        }
        let neighbour = core.stream_toward(id).and_then(|stream| core.remote(stream.id()));
        match neighbour.filter(|neighbour| Some(*neighbour) != parent) {
            Some(neighbour) => Way::Below(neighbour),
            None => Way::Nowhere(unreachable(router, &core.context(id))),
        }
    };
    contexts.into_iter().map(|id| (id, way(id))).collect()
}

/// Why nothing can be pushed to a context.
fn unreachable(router: &Router, context: &Context) -> FileError {
    if let Some(death) = context.death() {
        return FileError::Call((*death).clone().into_call_error());
    }
    let reason = DeadReason::no_route(context.id(), router.core().identity().id).text;
    let context = context.name().to_owned();
    let (exit, stderr_tail, trace) = (None, String::new(), Trace::default());
    FileError::Call(CallError::Dead { reason, context, exit, stderr_tail, trace })
}

fn no_thread(error: &std::io::Error) -> FileError {
    FileError::invalid(format!("cannot start a thread to push files: {error}"))
}
