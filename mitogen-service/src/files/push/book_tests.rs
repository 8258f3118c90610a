use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::files::push::shelf::SMALL;

/// Letters for contents, words for outlets, numbers for data.
struct Plain;

impl Kinds for Plain {
    type Content = char;
    type Outlet = &'static str;
    type Data = u32;
    type Waiter = &'static str;
    type Turn = &'static str;
}

type PlainBook = Book<Plain, u32>;

const TWO: Bound = Bound { files: 2, bytes: 100 };
const FEW: Bound = Bound { files: 3, bytes: 3 * LARGE };
const LARGE: u64 = SMALL + 1;
const ME: ContextId = ContextId::new(7);

fn book() -> PlainBook {
    Book::new(TWO, FEW, SMALL)
}

fn id(id: u32) -> ContextId {
    ContextId::new(id)
}

fn version(name: char, size: u64) -> Version {
    let metadata = FileMetadata {
        transfer: 0,
        size,
        mode: 0o644,
        uid: 0,
        gid: 0,
        owner: None,
        group: None,
        mtime: SystemTime::UNIX_EPOCH,
        atime: SystemTime::UNIX_EPOCH,
    };
    Version { path: PathBuf::from(name.to_string()), metadata, hash: FileHash::of(name.to_string().as_bytes()) }
}

fn here() -> Targets {
    vec![(ME, Way::Here)]
}

fn below(child: u32, contexts: &[u32]) -> Targets {
    contexts.iter().map(|context| (id(*context), Way::Below(id(child)))).collect()
}

fn error(text: &str) -> FileError {
    FileError::invalid(text)
}

/// What is to be done, as text.
fn done(book: &mut PlainBook) -> Vec<String> {
    let outcome = |result: Result<(), FileError>| result.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
    let show = |action| match action {
        Action::Work(child) => format!("work {child}"),
        Action::Watch(child) => format!("watch {child}"),
        Action::Tell { outlet, context, result } => format!("tell {outlet} {context} {}", outcome(result)),
        Action::Present(outlet) => format!("present {outlet}"),
        Action::Receive { content, .. } => format!("receive {content}"),
        Action::Wake { waiter, result } => match result {
            Ok((_, content)) => format!("wake {waiter} {content}"),
            Err(error) => format!("wake {waiter} {error}"),
        },
        Action::Go { turn, result } => format!("go {turn} {}", outcome(result)),
        Action::DropContent(_) | Action::DropData(_) => String::new(),
    };
    book.take_actions().into_iter().map(show).filter(|text| !text.is_empty()).collect()
}

fn job(book: &mut PlainBook, child: u32) -> Option<String> {
    Some(match book.next_job(id(child))? {
        Job::Offer { offer, version, contexts, inline } => {
            let contexts: Vec<_> = contexts.iter().map(|context| context.get()).collect();
            format!("offer {offer} {} to {contexts:?} with {inline:?}", version.path.display())
        }
        Job::Stream { content, data, .. } => format!("stream {content} to {data}"),
    })
}

/// Reads a file here for these contexts.
fn publish(book: &mut PlainBook, name: char, size: u64, targets: Targets, outlet: &'static str) {
    let ticket = book.enter(size, "turn");
    assert!(done(book).ends_with(&["go turn ok".to_owned()]));
    book.publish(ticket, (&version(name, size), name), None, targets, outlet);
}

fn is_closed(book: &mut PlainBook, offer: u64) {
    book.end(offer, End::Call(Ok(())));
    book.end(offer, End::Answers(CallError::failed("closed")));
}

#[test]
fn a_small_file_goes_with_its_offer_and_once() {
    let mut book = book();
    publish(&mut book, 'a', 1, below(1, &[1, 11]), "first");
    assert_eq!(done(&mut book), ["watch 1", "work 1"]);
    assert_eq!(job(&mut book, 1).unwrap(), "offer 1 a to [1, 11] with Some('a')");
    publish(&mut book, 'a', 1, below(1, &[12]), "second");
    assert_eq!(job(&mut book, 1).unwrap(), "offer 2 a to [12] with None");
    assert_eq!(job(&mut book, 1), None);
    book.outcome(1, id(11), Err(error("no")));
    book.outcome(1, id(1), Ok(()));
    book.outcome(1, id(1), Ok(()));
    book.outcome(1, id(99), Ok(()));
    book.outcome(2, id(12), Ok(()));
    assert_eq!(done(&mut book), ["tell first 11 no", "tell first 1 ok", "tell second 12 ok"]);
    is_closed(&mut book, 1);
    is_closed(&mut book, 2);
    assert_eq!((book.usage(), book.is_quiet()), ((1, 1), true));
}

#[test]
fn a_neighbour_that_lacks_a_file_gets_it_and_one_that_asks_twice_does_not() {
    let mut book = book();
    publish(&mut book, 'L', LARGE, below(1, &[1]), "out");
    assert_eq!(job(&mut book, 1).unwrap(), "offer 1 L to [1] with None");
    assert_eq!(job(&mut book, 1), None);
    done(&mut book);
    book.wanted(1, 5);
    assert_eq!(done(&mut book), ["work 1"]);
    book.wanted(1, 6);
    assert_eq!(job(&mut book, 1).unwrap(), "stream L to 5");
    assert_eq!(job(&mut book, 1), None);
    book.outcome(1, id(1), Ok(()));
    book.wanted(1, 7);
    book.wanted(99, 7);
    assert_eq!(done(&mut book), ["tell out 1 ok"]);
}

#[test]
fn a_small_file_that_was_lost_by_the_neighbour_is_streamed_and_later_offered_without_bytes() {
    let mut book = book();
    publish(&mut book, 'a', 1, below(1, &[1]), "out");
    job(&mut book, 1);
    book.present(1);
    book.outcome(1, id(1), Ok(()));
    is_closed(&mut book, 1);
    publish(&mut book, 'a', 1, below(1, &[1]), "out");
    assert_eq!(job(&mut book, 1).unwrap(), "offer 2 a to [1] with None");
    book.wanted(2, 5);
    assert_eq!(job(&mut book, 1).unwrap(), "stream a to 5");
}

#[test]
fn what_is_not_known_to_have_arrived_is_not_counted_as_delivered() {
    let mut book = book();
    publish(&mut book, 'a', 1, below(1, &[1]), "out");
    job(&mut book, 1);
    done(&mut book);
    book.end(1, End::Answers(CallError::failed("closed")));
    assert!(done(&mut book).is_empty(), "the call may know better why");
    book.end(1, End::Call(Err(CallError::failed("refused"))));
    assert_eq!(done(&mut book), ["tell out 1 refused"]);
    publish(&mut book, 'a', 1, below(1, &[1]), "out");
    assert_eq!(job(&mut book, 1).unwrap(), "offer 2 a to [1] with Some('a')");
}

#[test]
fn a_file_from_above_is_passed_on_while_it_comes() {
    let mut book = book();
    let targets = [here(), below(1, &[1])].concat();
    book.accept(version('L', LARGE), targets, "up", None, 'L');
    assert_eq!(done(&mut book), ["receive L", "watch 1", "work 1"]);
    assert_eq!(job(&mut book, 1).unwrap(), "offer 1 L to [1] with None");
    book.wait_for(Path::new("L"), "waiter");
    book.accept(version('L', LARGE), below(1, &[12]), "more", None, 'l');
    assert_eq!(done(&mut book), ["present more"]);
    book.received(&version('L', LARGE).hash, Ok(()));
    assert_eq!(done(&mut book), ["tell up 7 ok", "wake waiter L"]);
    assert_eq!(book.find(Path::new("L")).unwrap().1, 'L');
}

#[test]
fn what_does_not_come_fails_everywhere_with_its_reason() {
    let mut book = book();
    let targets = [here(), below(1, &[1])].concat();
    book.accept(version('L', LARGE), targets, "up", None, 'L');
    book.wait_for(Path::new("L"), "waiter");
    done(&mut book);
    book.received(&version('L', LARGE).hash, Err(error("cut")));
    assert_eq!(done(&mut book), ["tell up 1 cut", "tell up 7 cut", "wake waiter cut"]);
    assert_eq!(job(&mut book, 1), None, "what has failed is not offered");
    assert_eq!((book.usage(), book.is_quiet()), ((0, 0), true));
}

#[test]
fn one_file_is_received_at_a_time_in_the_order_in_which_they_were_offered() {
    let mut book = book();
    book.accept(version('L', LARGE), here(), "first", None, 'L');
    book.accept(version('M', LARGE), here(), "second", None, 'M');
    book.accept(version('N', LARGE), here(), "third", None, 'N');
    book.accept(version('M', LARGE), here(), "again", None, 'm');
    assert_eq!(done(&mut book), ["receive L"]);
    book.received(&version('L', LARGE).hash, Ok(()));
    assert_eq!(done(&mut book), ["tell first 7 ok", "receive M"]);
    book.received(&version('M', LARGE).hash, Err(error("cut")));
    assert_eq!(done(&mut book), ["tell second 7 cut", "receive N"]);
    book.received(&version('N', LARGE).hash, Ok(()));
    assert_eq!(done(&mut book), ["tell third 7 ok", "receive m"]);
}

#[test]
fn at_the_bound_those_wait_whose_room_will_be_free_and_others_are_refused() {
    let mut book = book();
    for (name, outlet) in [('a', "a"), ('b', "b")] {
        book.accept(version(name, 40), below(1, &[1]), outlet, Some(name), name);
    }
    book.accept(version('c', 40), here(), "c", Some('c'), 'c');
    assert_eq!(done(&mut book), ["watch 1", "work 1"], "what has no room is let go, and asked for later");
    job(&mut book, 1);
    book.outcome(1, id(1), Ok(()));
    assert_eq!(done(&mut book), ["tell a 1 ok", "receive c"]);
    book.received(&version('c', 40).hash, Ok(()));
    job(&mut book, 1);
    book.outcome(2, id(1), Ok(()));
    book.accept(version('d', 40), here(), "d", Some('d'), 'd');
    assert_eq!(done(&mut book), ["tell c 7 ok", "tell b 1 ok", "tell d 7 ok"]);
    book.accept(version('e', 40), here(), "e", Some('e'), 'e');
    assert_eq!(done(&mut book), [format!("tell e 7 {}", full())]);
    book.enter(1, "turn");
    assert_eq!(done(&mut book), [format!("go turn {}", full())]);
    assert!(book.forget(Path::new("c")) && !book.forget(Path::new("c")));
    book.accept(version('e', 40), here(), "e", Some('e'), 'e');
    assert_eq!(done(&mut book), ["tell e 7 ok"]);
}

#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let mut book = book();
    let (old, new) = (version('a', 1), Version { hash: FileHash::of(b"new"), ..version('a', 2) });
    book.accept(old, here(), "old", Some('a'), 'a');
    book.accept(new.clone(), here(), "new", Some('A'), 'A');
    assert_eq!(book.find(Path::new("a")), Some((new, 'A')));
    // Nothing but the old one could go for this one.
    book.accept(version('b', 1), here(), "b", Some('b'), 'b');
    assert_eq!(done(&mut book), ["tell old 7 ok", "tell new 7 ok", "tell b 7 ok"]);
    assert_eq!((book.usage(), book.is_quiet()), ((2, 3), true));
}

#[test]
fn a_neighbour_that_ends_takes_all_that_is_known_of_it_along() {
    let mut book = book();
    publish(&mut book, 'a', 1, below(1, &[1]), "made");
    job(&mut book, 1);
    publish(&mut book, 'b', 1, below(1, &[1]), "not made");
    done(&mut book);
    book.lost(id(1), &error("dead"));
    assert_eq!(done(&mut book), ["tell not made 1 dead"]);
    is_closed(&mut book, 1);
    assert_eq!(done(&mut book), ["tell made 1 closed"]);
    assert_eq!(job(&mut book, 1), None);
    assert!(book.is_quiet());
}

#[test]
fn a_file_that_is_what_it_was_is_not_read_again() {
    let mut book = book();
    let ticket = book.enter(1, "turn");
    book.publish(ticket, (&version('a', 1), 'a'), Some(1), here(), "out");
    assert!(book.publish_again(Path::new("a"), &1, &here(), &"again"));
    assert!(!book.publish_again(Path::new("a"), &2, &here(), &"changed"));
    assert!(!book.publish_again(Path::new("b"), &1, &here(), &"another"));
    assert_eq!(done(&mut book), ["go turn ok", "tell out 7 ok", "tell again 7 ok"]);
    book.forget(Path::new("a"));
    assert!(!book.publish_again(Path::new("a"), &1, &here(), &"gone"));
}

#[test]
fn who_waits_no_more_is_not_woken() {
    let mut book = book();
    let number = book.wait_for(Path::new("a"), "one");
    book.wait_for(Path::new("a"), "two");
    book.give_up(Path::new("a"), number);
    book.accept(version('a', 1), here(), "out", Some('a'), 'a');
    book.wait_for(Path::new("b"), "three");
    book.wake_all(&error("end"));
    assert_eq!(done(&mut book), ["tell out 7 ok", "wake two a", "wake three end"]);
}

#[test]
fn a_turn_that_is_withdrawn_keeps_no_room() {
    let mut book = book();
    let first = book.enter(90, "first");
    let second = book.enter(90, "second");
    assert_eq!(done(&mut book), ["go first ok"]);
    book.enter(90, "third");
    book.withdraw(second);
    book.withdraw(first);
    assert_eq!(done(&mut book), ["go third ok"]);
}

proptest! {
    /// Whatever happens, each context of each file is told of once, and nothing is left under way.
    #[test]
    fn every_context_is_told_of_once(events in proptest::collection::vec((0..8u8, 0..6u8, 0..3u32), 1..120)) {
        let mut book = book();
        let mut told: HashMap<u64, usize> = HashMap::new();
        let names = ['a', 'b', 'c', 'L', 'M', 'N'];
        let file = |name: u8| version(names[usize::from(name)], if name < 3 { 40 } else { LARGE });
        let (mut expected, mut offers, mut receiving) = (0_usize, Vec::new(), None);
        let mut run = |book: &mut PlainBook, receiving: &mut Option<FileHash>| {
            for action in book.take_actions() {
                match action {
                    Action::Tell { context, .. } => *told.entry(context.get().into()).or_default() += 1,
                    Action::Receive { version, .. } => assert!(receiving.replace(version.hash).is_none()),
                    _ => {}
                }
            }
        };
        let work = |book: &mut PlainBook, offers: &mut Vec<(u64, Vec<ContextId>)>, child| {
            while let Some(job) = book.next_job(id(child)) {
                if let Job::Offer { offer, contexts, .. } = job {
                    offers.push((offer, contexts));
                }
            }
        };
        for (event, name, child) in events {
            match event {
                0 | 1 => {
                    let sent = (event == 0 && name < 3).then_some('x');
                    let mut targets = below(child, &[1000 + expected as u32]);
                    expected += 1;
                    if event == 1 {
                        targets.push((id(1000 + expected as u32), Way::Here));
                        expected += 1;
                    }
                    book.accept(file(name), targets, "out", sent, 'x');
                }
                2 => if let Some(hash) = receiving.take() {
                    book.received(&hash, if name < 4 { Ok(()) } else { Err(error("cut")) });
                }
                3 => work(&mut book, &mut offers, child),
                4 => if let Some((offer, contexts)) = offers.pop() {
                    contexts.into_iter().for_each(|context| book.outcome(offer, context, Ok(())));
                    is_closed(&mut book, offer);
                }
                5 => if let Some((offer, _)) = offers.last() {
                    book.wanted(*offer, 1);
                }
                6 => book.lost(id(child), &error("dead")),
                _ => drop(book.forget(&file(name).path)),
            }
            run(&mut book, &mut receiving);
        }
        // Everything that is under way comes to its end.
        for _ in 0..1000 {
            if let Some(hash) = receiving.take() {
                book.received(&hash, Ok(()));
            }
            run(&mut book, &mut receiving);
            (0..3).for_each(|child| work(&mut book, &mut offers, child));
            for (offer, _) in offers.drain(..) {
                is_closed(&mut book, offer);
            }
            run(&mut book, &mut receiving);
        }
        prop_assert!(book.is_quiet());
        prop_assert_eq!(told.len(), expected);
        prop_assert!(told.values().all(|times| *times == 1), "{:?}", told);
    }
}
