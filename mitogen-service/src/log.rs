//! Log events: `tracing` where the program has a subscriber, plain lines on stderr where not.
//!
//! The events of a child's own code go to the root (see `router::forward`). What the router says there,
//! and what contexts print, is written to the child's stderr, which its parent reads line by line.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;

/// An event about the router of the context `name`.
pub(crate) fn event(level: Level, name: &str, text: &str) {
    if !has_subscriber() {
        if level <= Level::WARN && crate::process::is_entered() {
            // The parent puts the name in front of every line of ours.
            line(format!("{level}: {text}\n"));
        } else if level <= Level::WARN {
            line(format!("[{name}] {level}: {text}\n"));
        }
        return;
    }
    match level {
        Level::ERROR => tracing::error!(target: "mitogen_service", context = name, "{text}"),
        Level::WARN => tracing::warn!(target: "mitogen_service", context = name, "{text}"),
        Level::INFO => tracing::info!(target: "mitogen_service", context = name, "{text}"),
        _ => tracing::debug!(target: "mitogen_service", context = name, "{text}"),
    }
}

/// A line that the context `name` has written to its `source`, stdout or stderr.
pub(crate) fn output(name: &str, source: &'static str, text: &str) {
    if has_subscriber() {
        tracing::info!(target: "mitogen_service::output", context = name, source, "{text}");
    } else {
        line(format!("[{name}] {text}\n"));
    }
}

/// Set in a child whose events go to the root: what the router writes shall not go that way, since it
/// may tell that there is no way.
static FORWARDED: AtomicBool = AtomicBool::new(false);

/// In a child, which events the root wants, as it was told.
static WANTED: AtomicU64 = AtomicU64::new(0);

/// Events of this process go to the root from now on, up to this level.
pub(crate) fn forward(level: u64) {
    WANTED.store(level, Ordering::Relaxed);
    FORWARDED.store(true, Ordering::Relaxed);
}

/// Which events of contexts below are wanted, from 1 for errors to 5 for traces, 0 for none.
pub(crate) fn wanted_level() -> u64 {
    if FORWARDED.load(Ordering::Relaxed) {
        return WANTED.load(Ordering::Relaxed);
    }
    if !has_subscriber() {
        // They become lines on stderr.
        return number(&Level::WARN).into();
    }
    LevelFilter::current().into_level().map_or(0, |level| number(&level).into())
}

/// The number of a level on the wire.
pub(crate) fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// An event of another context, as it has come to the root.
pub(crate) fn forwarded(level: u8, context: &str, path: &str, origin: &str, text: &str) {
    if !has_subscriber() {
        let level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"][usize::from(level.clamp(1, 5)) - 1];
        return line(format!("[{context}] {level} {origin}: {text}\n"));
    }
    match level {
        1 => tracing::error!(target: "mitogen_service::forwarded", context, path, origin, "{text}"),
        2 => tracing::warn!(target: "mitogen_service::forwarded", context, path, origin, "{text}"),
        3 => tracing::info!(target: "mitogen_service::forwarded", context, path, origin, "{text}"),
        4 => tracing::debug!(target: "mitogen_service::forwarded", context, path, origin, "{text}"),
        _ => tracing::trace!(target: "mitogen_service::forwarded", context, path, origin, "{text}"),
    }
}

/// Whether an event of this thread reaches anybody. One that was set for another thread alone, as
/// tests do, is none here.
fn has_subscriber() -> bool {
    !FORWARDED.load(Ordering::Relaxed) && tracing::dispatcher::get_default(|dispatch| !dispatch.is::<NoSubscriber>())
}

/// Writes a whole line at once, so that those of several processes do not mix.
pub(crate) fn line(text: String) {
    // Nobody is left to be told if stderr cannot be written.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
