//! The threads that wait for an event, and the members that tell of one.
//!
//! A lock and a condition around [`Members`], which decides. A thread is woken for each event, and all
//! of them when there is nothing left to wait for. No member is dropped under the lock: it may own a
//! user's values.

use std::time::Instant;

use super::key::Key;
use super::members::{Got, Members, Next};
use crate::channel::mailbox::Notify;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What gives events.
pub(super) trait Source {
    type Item;

    /// Takes an event. Called under the lock of the gathering.
    fn take(&mut self) -> Got<Self::Item>;
}

/// Members, and those who wait for them.
pub(super) struct Gathering<S> {
    state: Mutex<State<S>>,
    /// There is an event, or nothing to wait for.
    changed: Condvar,
}

struct State<S> {
    members: Members<S>,
    /// Whom to tell beside those who wait.
    notify: Option<Notify>,
}

impl<S: Source> Gathering<S> {
    pub(super) fn new(oneshot: bool) -> Self {
        let state = State { members: Members::new(oneshot), notify: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Makes a place for a member, which may have events from now on; or says why not.
    pub(super) fn reserve(&self, key: Key) -> Result<u64, &'static str> {
        self.state.lock().members.reserve(key)
    }

    /// A member is complete, and has so many events already; `false` if this was closed meanwhile.
    pub(super) fn insert(&self, number: u64, member: S, events: usize) -> bool {
        let mut state = self.state.lock();
        match state.members.insert(number, member, events) {
            Ok(events) => {
                self.tell(state, events);
                true
            }
            Err(member) => {
                drop(state);
                drop(member);
                false
            }
        }
    }

    /// A member has an event. On any thread, without locks.
    pub(super) fn ready(&self, number: u64) {
        let mut state = self.state.lock();
        if state.members.ready(number, 1) {
            self.tell(state, 1);
        }
    }

    /// Takes a member out, with its events.
    pub(super) fn remove(&self, key: &Key) -> Option<S> {
        let mut state = self.state.lock();
        let member = state.members.remove(key);
        self.unless_empty(state);
        member
    }

    /// The next event, or why there is none.
    pub(super) fn next(&self) -> Next<S::Item, S> {
        self.next_of(self.state.lock()).unwrap_or(Next::Nothing)
    }

    /// Waits for the next event; gives [`Next::Nothing`] when the time is over. The deadline stands,
    /// however often somebody is woken for an event that another one takes.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Next<S::Item, S> {
        let mut state = self.state.lock();
        let mut time_is_over = false;
        loop {
            state = match self.next_of(state) {
                Ok(next) => return next,
                Err(_) if time_is_over => return Next::Nothing,
                Err(state) => state,
            };
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => time_is_over = self.changed.wait_until(&mut state, deadline).timed_out(),
            }
        }
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.state.lock().members.len()
    }

    /// Takes all members out, takes no new ones, and wakes all who wait.
    pub(super) fn close(&self) -> Vec<S> {
        let mut state = self.state.lock();
        let members = state.members.close();
        let notify = state.notify.clone();
        drop(state);
        self.changed.notify_all();
        if let Some(notify) = notify {
            notify();
        }
        members
    }

    /// From now on this is called, without any lock, for each event; gives how many there are already,
    /// at most.
    pub(super) fn set_notify(&self, notify: Option<Notify>) -> usize {
        let mut state = self.state.lock();
        let previous = std::mem::replace(&mut state.notify, notify);
        let events = state.members.waiting();
        drop(state);
        drop(previous);
        events
    }

    fn tell(&self, state: MutexGuard<'_, State<S>>, events: usize) {
        let notify = state.notify.clone();
        drop(state);
        for _ in 0..events {
            self.changed.notify_one();
            if let Some(notify) = &notify {
                notify();
            }
        }
    }

    /// Wakes all who wait for members that are not there any more.
    fn unless_empty(&self, state: MutexGuard<'_, State<S>>) {
        let empty = state.members.len() == 0;
        drop(state);
        if empty {
            self.changed.notify_all();
        }
    }

    /// What there is to give, or the lock again if there is nothing.
    fn next_of<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<S>>,
    ) -> Result<Next<S::Item, S>, MutexGuard<'a, State<S>>> {
        match state.members.next(S::take) {
            Next::Nothing => Err(state),
            item @ Next::Item { .. } => {
                self.unless_empty(state);
                Ok(item)
            }
            none @ (Next::Empty | Next::Closed) => Ok(none),
        }
    }
}
