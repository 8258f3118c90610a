//! The end of a stream: why it ends, who notices, and what happens then.
//!
//! Anybody may say that a stream is to end. What is done then is done on the broker's thread by whoever has
//! the [read role](super::role), so that the end comes after all messages that were read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::alive::{Alive, Beat};
use super::shared_role::Promoted;
use super::stall::Look;
use super::stream::Stream;

/// Why a stream has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The other end has closed it.
    Eof,
    /// This end has closed it.
    Local,
    /// The system or the other end's bytes made it unusable.
    Broken(String),
    /// The other end has given no sign of life for so long.
    Silent(Duration),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => write!(f, "the other end has closed it"),
            Self::Local => write!(f, "this end has closed it"),
            Self::Broken(what) => write!(f, "{what}"),
            Self::Silent(time) => write!(f, "no sign of life for {time:?} (keep-alive)"),
        }
    }
}

/// How a stream is to end.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// What has arrived is read before.
    Finish,
    /// At once.
    Close(Closed),
}

impl Stream {
    /// Closes the stream from this end; what is queued is lost.
    pub(crate) fn close(self: &Arc<Self>) {
        self.end_soon(Ending::Close(Closed::Local));
    }

    /// Closes the stream because of what the other end does.
    pub(crate) fn cut(self: &Arc<Self>, why: &str) {
        self.end_soon(Ending::Close(Closed::Broken(why.to_owned())));
    }

    /// The write end is of no use any more. What has arrived is read before the stream ends: the
    /// answers of a process that has ended since are still good.
    pub(super) fn broken(self: &Arc<Self>, error: &std::io::Error) {
        // A socket says so if the other end has closed before it has read everything.
        if matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) {
            self.end_soon(Ending::Finish);
        } else {
            self.end_soon(Ending::Close(Closed::Broken(error.to_string())));
        }
    }

    /// Reads what the other end had written before it ended, and closes. On the broker's thread.
    ///
    /// What is written from now on, by somebody who has inherited the other end, is not waited for.
    pub(crate) fn finish(self: &Arc<Self>) {
        self.end(Ending::Finish);
    }

    fn end_soon(self: &Arc<Self>, ending: Ending) {
        let stream = self.clone();
        self.broker.defer(move |_| stream.end(ending));
    }

    /// Ends the stream as soon as nobody reads it. On the broker's thread.
    fn end(self: &Arc<Self>, ending: Ending) {
        let ending = self.role.end(ending);
        match ending {
            Some(ending) => self.end_as_holder(ending),
            // Whoever reads looks before it waits again.
            None => self.interrupt(),
        }
    }

    /// Ends the stream, whose read role this thread holds; from the broker's thread at once, from another
    /// one soon.
    pub(super) fn end_with_role(self: &Arc<Self>, ending: Ending) {
        if self.broker.is_current() {
            return self.end_as_holder(ending);
        }
        let stream = self.clone();
        self.broker.defer(move |_| stream.end_as_holder(ending));
    }

    fn end_as_holder(self: &Arc<Self>, ending: Ending) {
        let why = match ending {
            Ending::Finish => self.read_rest(),
            Ending::Close(why) => why,
        };
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        let was_over = self.release();
        let waiting = self.role.finish();
        for waiter in waiting {
            // It finds that there is nobody to read, and waits for the news.
            waiter.promote();
        }
        if was_over {
            self.sink.clone().relieved(self);
        }
        self.sink.clone().closed(self, why);
    }

    /// Gives the descriptors back and wakes whoever waits for room. Tells whether the stream was over its
    /// bound.
    fn release(self: &Arc<Self>) -> bool {
        let read_end = self.release_read_end();
        let (write_end, was_over) = self.writer.end(self);
        drop((read_end, write_end));
        was_over
    }

    /// Looks after a while, and ends the stream if nothing has moved.
    pub(super) fn look_after(self: &Arc<Self>, delay: Duration, look: fn(&Self) -> Look) {
        let stream = Arc::downgrade(self);
        self.broker.call_after(delay, move |_| {
            let Some(stream) = stream.upgrade() else { return };
            match look(&stream) {
                Look::Idle => {}
                Look::Again(left) => stream.look_after(left, look),
                Look::Stalled => stream.end(Ending::Close(Closed::Broken("nothing has moved for too long".to_owned()))),
            }
        });
    }

    /// Looks for a sign of life after each interval, and ends the stream when there was none for long.
    pub(super) fn watch_life(self: &Arc<Self>, mut alive: Alive) {
        let stream = Arc::downgrade(self);
        self.broker.call_after(alive.interval(), move |_| {
            let Some(stream) = stream.upgrade() else { return };
            if stream.ended.load(Ordering::Relaxed) {
                return;
            }
            // What has arrived while this process did something else counts, read or not.
            let heard = stream.heard.swap(false, Ordering::Relaxed) || stream.readable() > 0;
            match alive.beat(heard) {
                Beat::Fine => {}
                Beat::Ask => stream.sink.clone().ask(&stream),
                Beat::Lost => return stream.end(Ending::Close(Closed::Silent(alive.patience()))),
            }
            stream.watch_life(alive);
        });
    }
}
