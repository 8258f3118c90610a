//! The senders that are on their way in the arguments of a call.
//!
//! Until the callee has claimed a receiver nobody but the caller knows that it is going to. So whoever
//! encodes a sender into a call keeps the receiver open, as its owner or by a clone, until the call is
//! answered: the callee claims when it decodes, which comes before the answer.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::outbox::Outbox;

/// Keeps a receiver open; dropping it lets go.
pub(crate) struct Held {
    _what: What,
}

enum What {
    Own { _hold: Hold },
    Foreign { _outbox: Arc<Outbox> },
}

/// Keeps a receiver of this process from ending.
pub(super) struct Hold(Arc<Mailbox>);

impl Hold {
    pub(super) fn new(mailbox: &Arc<Mailbox>) -> Self {
        mailbox.hold();
        Self(mailbox.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

thread_local! {
    /// The senders that this thread has encoded, while somebody wants to know.
    static COLLECTED: RefCell<Option<Vec<Held>>> = const { RefCell::new(None) };
}

/// Encodes something that is about to be sent, and gives the senders that are in it.
pub(crate) fn collecting<R>(encode: impl FnOnce() -> R) -> (R, Vec<Held>) {
    /// Puts the outer one back, panic or not.
    struct Restore(Option<Vec<Held>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let collected = COLLECTED.replace(self.0.take());
            // Letting go may do anything but borrow this.
            drop(collected);
        }
    }
    let _restore = Restore(COLLECTED.replace(Some(Vec::new())));
    let result = encode();
    let collected = COLLECTED.with_borrow_mut(|collected| collected.as_mut().map(std::mem::take));
    (result, collected.unwrap_or_default())
}

/// A sender of a receiver in this process is being encoded.
pub(super) fn own(mailbox: &Arc<Mailbox>) {
    collect(|| What::Own { _hold: Hold::new(mailbox) });
}

/// A sender that was decoded here is being encoded.
pub(super) fn foreign(outbox: &Arc<Outbox>) {
    collect(|| What::Foreign { _outbox: outbox.clone() });
}

fn collect(make: impl FnOnce() -> What) {
    if COLLECTED.with_borrow(Option::is_none) {
        return;
    }
    let held = Held { _what: make() };
    COLLECTED.with_borrow_mut(|collected| collected.get_or_insert_default().push(held));
}
