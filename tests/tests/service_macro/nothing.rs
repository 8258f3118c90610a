//! `Some` around what travels as nothing, which would arrive as `None`.
//!
//! The macro refuses it where it can read it in a type. Here it hides behind an alias, in a field and in a
//! transparent type, so it shows only when such a value is to be sent.

use mitogen_service::{AllowAny, CallError, Reply, Uncached, service};
use serde::{Deserialize, Serialize};

use crate::Served;

type Maybe<T> = Option<T>;
type Nothing = ();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Setting(Option<String>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Change {
    id: u8,
    setting: Option<Setting>,
}

/// Gives back what it gets, or what was asked for.
struct Mirror;

#[service(name = "mirror")]
impl Mirror {
    #[expose(policy = AllowAny)]
    fn alias(&self, value: Option<Maybe<u8>>) -> u8 {
        value.flatten().unwrap_or_default()
    }

    #[expose(policy = AllowAny)]
    fn changes(&self, changes: Vec<Change>) -> usize {
        changes.len()
    }

    #[expose(policy = AllowAny)]
    fn result(&self, of: u8) -> Result<Option<Nothing>, String> {
        (of > 0).then(|| (of > 1).then_some(())).ok_or_else(|| "no result".to_owned())
    }

    #[expose(policy = AllowAny)]
    fn later(&self, reply: Reply<Change>) {
        reply.send(Ok(Change { id: 1, setting: Some(Setting(None)) }));
    }

    #[expose(policy = AllowAny)]
    fn uncached(&self) -> Uncached<Option<Maybe<u8>>> {
        Uncached(Some(None))
    }
}

/// What was refused, and why.
fn refused<T: std::fmt::Debug>(result: Result<T, CallError>) -> (String, String) {
    match result {
        Err(CallError::Encode { what, reason, .. }) => (what, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_argument_is_refused_with_its_name_and_the_field() {
    let served = Served::new(Mirror);
    let stub = Mirror::stub(&served.context);
    assert_eq!(stub.alias(Some(Some(3))).wait(), Ok(3));
    assert_eq!(stub.alias(None).wait(), Ok(0));
    let (what, reason) = refused(stub.alias(Some(None)).wait());
    assert_eq!(what, "the argument 'value' of 'alias' of service 'mirror'");
    assert!(reason.starts_with("a `Some` whose inside travels as nothing"), "{reason}");

    let changes = |inner| vec![Change { id: 1, setting: None }, Change { id: 2, setting: Some(Setting(inner)) }];
    assert_eq!(stub.changes(changes(Some(String::new()))).wait(), Ok(2));
    let (what, reason) = refused(stub.changes(changes(None)).wait());
    assert_eq!(what, "the argument 'changes' of 'changes' of service 'mirror'");
    assert!(reason.starts_with("in `[1].setting`: a `Some` whose inside"), "{reason}");
}

#[test]
fn a_result_is_refused_with_the_name_of_its_method() {
    let served = Served::new(Mirror);
    let stub = Mirror::stub(&served.context);
    assert!(matches!(stub.result(0).wait(), Err(CallError::Failed { .. })));
    assert_eq!(stub.result(1).wait(), Ok(None));
    let (what, reason) = refused(stub.result(2).wait());
    assert_eq!(what, "the result of 'result' of service 'mirror'");
    assert!(reason.contains("`Some(())`"), "{reason}");
    let (what, reason) = refused(stub.later().wait());
    assert_eq!(what, "the result of 'later' of service 'mirror'");
    assert!(reason.starts_with("in `setting`: "), "{reason}");
    assert_eq!(refused(stub.uncached().wait()).0, "the result of 'uncached' of service 'mirror'");
}

#[test]
fn a_message_of_a_channel_is_refused_and_the_next_one_arrives() {
    let served = Served::new(Mirror);
    let receiver = served.parent().receiver::<Option<Maybe<u8>>>();
    let sender = receiver.sender();
    let (what, _) = refused(sender.send(Some(None)));
    assert_eq!(what, "a message of a channel");
    sender.send(Some(Some(1))).unwrap();
    assert_eq!(receiver.recv().unwrap(), Some(Some(1)));
}
