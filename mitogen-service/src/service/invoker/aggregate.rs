//! The calls of an invoker that answers many by one execution.
//!
//! A lock around [`Table`], which decides. Answers are given without the lock, since a waiter may come
//! back for more: its answer runs the code of others.

use std::time::Instant;

use bytes::Bytes;

use super::table::{Asked, Asker, Key, Limits, Table, Ticket, Waiter};
use crate::sync::Mutex;

/// Who waits for a result and is told of it, once.
pub(super) trait Answered: Waiter {
    /// This is the result; there may be none that can be sent.
    fn answer(self, payload: Option<Bytes>);
}

/// What a call has to do itself.
pub(super) enum Told<W> {
    /// It is answered, or will be.
    Nothing,
    /// It has to execute, and to say so when it has: [`Aggregate::finish`].
    Runs(Ticket),
    /// It would wait for itself.
    Circle(W),
}

/// The executions and the results of an invoker, for many threads.
pub(super) struct Aggregate<W> {
    table: Mutex<Table<W>>,
}

impl<W: Answered> Aggregate<W> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { table: Mutex::new(Table::new(limits)) }
    }

    /// Changes what is kept from now on.
    pub(super) fn set_limits(&self, set: impl FnOnce(&mut Limits)) {
        set(self.table.lock().limits());
    }

    /// A call asks for the result of a key, and is answered if it is there.
    pub(super) fn ask(&self, key: Key, asker: Asker<'_, W>, now: Instant) -> Told<W> {
        let asked = self.table.lock().ask(key, asker, now);
        match asked {
            Asked::Kept(payload, waiter) => {
                waiter.answer(Some(payload));
                Told::Nothing
            }
            Asked::Waits => Told::Nothing,
            Asked::Runs(ticket) => Told::Runs(ticket),
            Asked::Circle(waiter) => Told::Circle(waiter),
        }
    }

    /// Answers all who have come to wait for an execution, and keeps the result if that is wanted.
    pub(super) fn finish(&self, ticket: Ticket, payload: Option<Bytes>, keep: bool, now: Instant) {
        let kept = payload.clone().filter(|_| keep);
        let waiters = self.table.lock().finish(ticket, kept, now);
        for waiter in waiters {
            waiter.answer(payload.clone());
        }
    }

    /// Whether nobody waits for the end of an execution.
    pub(super) fn is_abandoned(&self, ticket: Ticket) -> bool {
        self.table.lock().is_abandoned(ticket)
    }

    /// How many results are kept, and what they take.
    pub(super) fn kept(&self) -> (usize, usize) {
        self.table.lock().kept()
    }

    /// What there is of a method, or of all of them, is not valid any more. Who waits goes on to.
    pub(super) fn invalidate(&self, method: Option<&str>) {
        self.table.lock().invalidate(method);
    }
}
