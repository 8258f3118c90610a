//! The shell of the select: each event is got once, and nobody who waits is forgotten.

use std::collections::VecDeque;

use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

use crate::gathering::{Gathering, Source};
use crate::members::{Got, Next};

type Events = Arc<Mutex<VecDeque<usize>>>;

/// What has been sent and was not got; it ends after so many events, unless that is `None`.
struct Member {
    events: Events,
    left: Option<usize>,
}

impl Source for Member {
    type Item = usize;

    fn take(&mut self) -> Got<usize> {
        let Some(event) = self.events.lock().unwrap().pop_front() else { return Got::Nothing };
        match &mut self.left {
            None => Got::Item(event),
            Some(left) => {
                *left -= 1;
                if *left == 0 { Got::Last(event) } else { Got::Item(event) }
            }
        }
    }
}

type Select = Arc<Gathering<Member>>;

fn select() -> Select {
    Arc::new(Gathering::new(false))
}

/// The sending side of a member: it tells of each event, as a mailbox does to which somebody listens.
#[derive(Clone)]
struct Sender {
    select: Select,
    number: u64,
    events: Events,
}

impl Sender {
    fn send(&self, event: usize) {
        self.events.lock().unwrap().push_back(event);
        self.select.ready(self.number);
    }
}

/// Makes a place for a member; gives its sending side, and itself.
fn reserve(select: &Select, key: usize, left: Option<usize>) -> (Sender, Member) {
    let number = select.reserve(key.into()).unwrap();
    let events = Events::default();
    (Sender { select: select.clone(), number, events: events.clone() }, Member { events, left })
}

fn add(select: &Select, key: usize, left: Option<usize>) -> Sender {
    let (sender, member) = reserve(select, key, left);
    assert!(select.insert(sender.number, member, 0));
    sender
}

/// Gets events until there are no members, or the select is closed.
fn get_all(select: &Select) -> thread::JoinHandle<Vec<usize>> {
    let select = select.clone();
    thread::spawn(move || {
        let mut events = Vec::new();
        while let Next::Item { item, .. } = select.wait(None) {
            events.push(item);
        }
        events
    })
}

fn joined(getters: impl IntoIterator<Item = thread::JoinHandle<Vec<usize>>>) -> Vec<usize> {
    let mut events: Vec<_> = getters.into_iter().flat_map(|getter| getter.join().unwrap()).collect();
    events.sort_unstable();
    events
}

/// Two members that give two events each, and end, while two threads wait.
pub(super) fn events() {
    let select = select();
    let senders = [0, 1].map(|key| (key, add(&select, key, Some(2))));
    let getters = [(); 2].map(|()| get_all(&select));
    let senders = senders.map(|(key, sender)| {
        thread::spawn(move || {
            sender.send(key * 2);
            sender.send(key * 2 + 1);
        })
    });
    assert_eq!(joined(getters), [0, 1, 2, 3]);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(select.len(), 0);
}

/// Gets one event of a member that stays.
fn get(select: &Select) -> thread::JoinHandle<Vec<usize>> {
    let select = select.clone();
    thread::spawn(move || match select.wait(None) {
        Next::Item { item, .. } => vec![item],
        _ => panic!("the members stay"),
    })
}

/// Two threads wait for one event each; nothing but the words of the members wakes them.
pub(super) fn shared() {
    let select = select();
    let senders = [0, 1].map(|key| (key, add(&select, key, None)));
    let getters = [(); 2].map(|()| get(&select));
    let senders = senders.map(|(key, sender)| thread::spawn(move || sender.send(key)));
    assert_eq!(joined(getters), [0, 1]);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(matches!(select.next(), Next::Nothing));
}

/// Two threads wait for one event each, and a member comes that has both.
pub(super) fn added_with_two() {
    let select = select();
    add(&select, 0, None);
    let getters = [(); 2].map(|()| get(&select));
    let (sender, member) = reserve(&select, 1, None);
    sender.events.lock().unwrap().extend([1, 2]);
    assert!(select.insert(sender.number, member, 2));
    assert_eq!(joined(getters), [1, 2]);
}

/// The members go while two threads wait, one of them with an event that may be got before.
pub(super) fn removal() {
    let select = select();
    let senders = [0, 1].map(|key| add(&select, key, None));
    let getters = [(); 2].map(|()| get_all(&select));
    let sender = thread::spawn({
        let sender = senders[0].clone();
        move || sender.send(7)
    });
    let removers = [0_usize, 1].map(|key| {
        let select = select.clone();
        thread::spawn(move || select.remove(&key.into()).is_some())
    });
    let got = joined(getters);
    removers.into_iter().for_each(|remover| assert!(remover.join().unwrap(), "it was there"));
    sender.join().unwrap();
    let left = senders[0].events.lock().unwrap().len();
    assert_eq!(got.len() + left, 1, "the event is got or goes with its member");
}

/// A member goes with its event; the other one's is got nevertheless.
pub(super) fn removal_of_another() {
    let select = select();
    let senders = [0, 1].map(|key| add(&select, key, Some(1)));
    let getter = get_all(&select);
    let threads = senders.map(|sender| {
        let event = sender.number as usize;
        thread::spawn(move || sender.send(event))
    });
    let removed = select.remove(&0.into()).is_some();
    let got = joined([getter]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(got, if removed { vec![1] } else { vec![0, 1] });
}

/// It is closed while two threads wait, an event comes, and a member is being added.
pub(super) fn closing() {
    let select = select();
    let sender = add(&select, 0, None);
    let getters = [(); 2].map(|()| get_all(&select));
    let sender = thread::spawn(move || sender.send(7));
    let adder = thread::spawn({
        let select = select.clone();
        move || {
            let number = select.reserve(1.into());
            number.is_ok_and(|number| select.insert(number, Member { events: Events::default(), left: None }, 0))
        }
    });
    let members = select.close().len();
    assert!(joined(getters).len() <= 1);
    let added = adder.join().unwrap();
    sender.join().unwrap();
    assert_eq!(members, 1 + usize::from(added), "each member is given back where it was added");
    assert!(matches!(select.next(), Next::Closed));
}

/// Two events come while their member, which has one already, is being added and two threads wait.
pub(super) fn adding() {
    let select = select();
    let stays = add(&select, 0, Some(1));
    let getters = [(); 2].map(|()| get_all(&select));
    let (sender, member) = reserve(&select, 1, Some(3));
    // Before it was asked nobody was told of this one.
    sender.events.lock().unwrap().push_back(1);
    let number = sender.number;
    let sender = thread::spawn(move || {
        sender.send(2);
        sender.send(3);
    });
    assert!(select.insert(number, member, 1));
    stays.send(0);
    assert_eq!(joined(getters), [0, 1, 2, 3]);
    sender.join().unwrap();
}

/// A select in another one: its events reach who waits for the other one.
pub(super) fn nested() {
    let (outer, inner) = (Arc::new(Gathering::new(false)), select());
    let number = outer.reserve("inner".into()).unwrap();
    let sender = add(&inner, 0, None);
    let sender = thread::spawn(move || {
        sender.send(1);
        sender.send(2);
    });
    let getter = thread::spawn({
        let outer = outer.clone();
        move || {
            let next = || match outer.wait(None) {
                Next::Item { item, .. } => item,
                _ => panic!("it has a member"),
            };
            vec![next(), next()]
        }
    });
    let tell = {
        let outer: Arc<Gathering<Inner>> = outer.clone();
        move || outer.ready(number)
    };
    let events = inner.set_notify(Some(std::sync::Arc::new(tell)));
    assert!(outer.insert(number, Inner(inner.clone()), events));
    assert_eq!(joined([getter]), [1, 2]);
    sender.join().unwrap();
    inner.set_notify(None);
}

struct Inner(Select);

impl Source for Inner {
    type Item = usize;

    fn take(&mut self) -> Got<usize> {
        match self.0.next() {
            Next::Item { item, .. } => Got::Item(item),
            _ => Got::Nothing,
        }
    }
}
