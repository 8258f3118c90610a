//! The log events of a child's own code, on their way to the root.
//!
//! A child has no subscriber of its program's: `main` is never entered there. This one sends each event to
//! the root, whose subscriber gets it with the name of the context and the path to it. Only what that
//! subscriber wants is sent; what is too much or too long is cut at the source.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::core::Core;
use super::cut;
use super::names::sane_name;
use crate::io::{Patience, StreamId};
use crate::sync::Mutex;
use crate::wire::{ContextId, Encoding, ForwardLog, Handle, Message};

/// The longest text of an event.
const MAX_TEXT: usize = 8 * 1024;

/// How much one context sends in a second.
const MAX_RATE: usize = 1024 * 1024;

/// The longest path that is shown.
const MAX_PATH: usize = 4 * 1024;

impl Core {
    /// Sends the events of this process to the root from now on, up to a level. If the program has a
    /// subscriber of its own here already, that one keeps them.
    pub(crate) fn forward_events(self: &Arc<Self>, level: u64) {
        let me = self.identity();
        let names = me.parents.iter().rev().map(|(_, name)| name.as_str());
        let path = names.chain([me.name.as_str()]).collect::<Vec<_>>().join("/");
        let rate = Mutex::new(Rate::default());
        let max = match level {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let forwarder = Forwarder { core: Arc::downgrade(self), path, max, rate, spans: AtomicU64::new(1) };
        if tracing::subscriber::set_global_default(forwarder).is_ok() {
            crate::log::forward(level);
        }
    }

    /// An event of a context below has come. Whoever sends what nobody wants, or too much, does not do as
    /// it was told, and is not listened to.
    pub(super) fn forwarded(&self, from: ContextId, stream: StreamId, event: &ForwardLog<'_>) {
        let ForwardLog { level, target, path, text } = *event;
        if u64::from(level) > crate::log::wanted_level() {
            return;
        }
        let bytes = text.len() + path.len() + target.len();
        let Some(Some(dropped)) = self.with_log_rate(stream, |rate| rate.take(bytes, Instant::now())) else { return };
        if dropped > 0 {
            let name = self.name_of(from);
            self.log(Level::WARN, format!("{dropped} log events of `{name}`, or from below it, were dropped"));
        }
        let (name, target) = (self.name_of(from), sane_name(target));
        let (mut path, mut text) = (printable(path), printable(text));
        cut(&mut path, MAX_PATH);
        cut(&mut text, MAX_TEXT);
        self.log_forwarded(move || crate::log::forwarded(level, &name, &path, &target, &text));
    }
}

/// Nobody shall forge a line of the log.
fn printable(text: &str) -> String {
    let printable = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    text.chars().take(MAX_TEXT).map(printable).collect()
}

struct Forwarder {
    core: Weak<Core>,
    path: String,
    max: LevelFilter,
    rate: Mutex<Rate>,
    spans: AtomicU64,
}

/// How much has come in this second, and what could not.
#[derive(Default)]
pub(super) struct Rate {
    since: Option<Instant>,
    bytes: usize,
    dropped: u64,
}

impl Rate {
    /// Whether so many bytes may go now, and how many events could not before.
    fn take(&mut self, bytes: usize, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.bytes) = (Some(now), 0);
        }
        if self.bytes + bytes > MAX_RATE {
            self.dropped += 1;
            return None;
        }
        self.bytes += bytes;
        Some(std::mem::take(&mut self.dropped))
    }
}

impl Forwarder {
    fn send(&self, level: &Level, target: &str, text: &str) {
        let Some(core) = self.core.upgrade() else { return };
        let event = ForwardLog { level: crate::log::number(level), target, path: &self.path, text };
        let payload = event.encode().into();
        let message = Message::new(Encoding::MessagePack, ContextId::ROOT, Handle::FORWARD_LOG, Handle::NONE, payload);
        // Nobody waits for the sake of a log.
        let _ = core.send(message, Patience::Refuse);
    }
}

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.max
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        let taken = self.rate.lock().take(text.0.len() + self.path.len(), Instant::now());
        let Some(dropped) = taken else { return };
        if dropped > 0 {
            self.send(&Level::WARN, "mitogen_service", &format!("{dropped} log events were dropped here"));
        }
        self.send(metadata.level(), metadata.target(), &text.0);
    }

    /// Spans are told apart and otherwise not looked at.
    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message of an event, and then its fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut out = Bounded(&mut self.0);
        // Fails when there is no more room.
        let _ = match field.name() {
            "message" => write!(out, "{value:?}"),
            name => write!(out, " {name}={value:?}"),
        };
    }
}

/// Takes no more than a line may have.
struct Bounded<'a>(&'a mut String);

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT.saturating_sub(self.0.len());
        let mut text = text.to_owned();
        let fits = text.len() <= room;
        cut(&mut text, room);
        self.0.push_str(&text);
        if fits { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_logs_without_end_is_cut_at_the_source() {
        let start = Instant::now();
        let mut rate = Rate::default();
        assert_eq!(rate.take(MAX_RATE, start), Some(0));
        assert_eq!(rate.take(1, start), None);
        assert_eq!(rate.take(1, start), None);
        assert_eq!(rate.take(1, start + Duration::from_secs(1)), Some(2));
    }

    #[test]
    fn a_text_has_its_bound() {
        let mut text = String::new();
        assert!(write!(Bounded(&mut text), "{}", "x".repeat(3 * MAX_TEXT)).is_err());
        assert_eq!(text.len(), MAX_TEXT);
        assert_eq!(printable("a\nb"), "a\u{fffd}b");
    }
}
