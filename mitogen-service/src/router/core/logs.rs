//! Log events and callbacks: a user's code, on threads that exist for it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::Level;

use super::Core;
use crate::io::{Job, StreamId};
use crate::panics;
use crate::wire::ContextId;

impl Core {
    /// Runs a user's callbacks on the thread for such.
    pub(in crate::router) fn call_back(&self, callbacks: Vec<Job>) {
        let refused: Vec<_> =
            callbacks.into_iter().filter_map(|callback| self.callbacks.post(callback).err()).collect();
        if refused.is_empty() {
            return;
        }
        if self.lifecycle.is_open() {
            self.log(Level::WARN, format!("too many callbacks are waiting, {} were dropped", refused.len()));
        }
        self.drop_aside(refused);
    }

    /// The same from a user's own thread, which runs it itself where no other does any more.
    pub(in crate::router) fn call_back_now(&self, callback: impl FnOnce() + Send + 'static) {
        if self.lifecycle.is_open() {
            self.call_back(vec![Box::new(callback)]);
        } else {
            panics::contain(callback);
        }
    }

    /// Writes a log event about this router, on the thread for such.
    pub(crate) fn log(&self, level: Level, text: String) {
        let name = self.identity.name.clone();
        self.log_line(move || crate::log::event(level, &name, &text));
    }

    /// Writes a log event about what a neighbour has done wrong. It names the neighbour, and never
    /// tells what stood in its messages.
    pub(crate) fn log_offence(&self, stream: StreamId, what: &str) {
        let noted = {
            let mut links = self.links.lock();
            let link = links.get_mut(&stream);
            link.and_then(|link| Some((link.offences.note(Instant::now())?, link.name.clone())))
        };
        let Some((untold, name)) = noted else { return };
        self.log(Level::ERROR, format!("`{name}`: {what}{}", more(untold)));
    }

    /// Writes a log event that a message of this context has caused, as seldom as an offence.
    pub(crate) fn log_caused_by(&self, context: ContextId, what: &str) {
        let stream = self.table.lock().toward(context).filter(|_| context != self.identity.id);
        let untold = {
            let mut links = self.links.lock();
            match stream.and_then(|stream| links.get_mut(&stream)) {
                Some(link) => link.offences.note(Instant::now()),
                None => Some(0),
            }
        };
        if let Some(untold) = untold {
            self.log(Level::WARN, format!("{what}{}", more(untold)));
        }
    }

    /// Writes a line that a context has printed.
    pub(crate) fn log_output(&self, context: &str, source: &'static str, line: &str) {
        let (context, line) = (context.to_owned(), line.to_owned());
        self.log_line(move || crate::log::output(&context, source, &line));
    }

    /// Writes an event of another context.
    pub(in crate::router) fn log_forwarded(&self, write: impl FnOnce() + Send + 'static) {
        self.log_line(write);
    }

    /// Writes such a line to stderr as it is.
    pub(crate) fn print_output(&self, line: &str) {
        let line = format!("{line}\n");
        self.log_line(move || crate::log::line(line));
    }

    fn log_line(&self, write: impl FnOnce() + Send + 'static) {
        let lost = self.lost_logs.swap(0, Ordering::Relaxed);
        let name = self.identity.name.clone();
        let posted = self.logs.post(Box::new(move || {
            if lost > 0 {
                crate::log::event(Level::WARN, &name, &format!("{lost} log lines were dropped"));
            }
            write();
        }));
        if posted.is_err() {
            self.lost_logs.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

fn more(untold: u64) -> String {
    if untold > 0 { format!(" ({untold} more like this were not logged)") } else { String::new() }
}
