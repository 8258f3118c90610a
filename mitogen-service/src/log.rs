//! Log events: `tracing` where the program has a subscriber, plain lines on stderr where not.
//!
//! A child has no subscriber of its own; its stderr is read line by line by its parent, so what is
//! written there comes out at the root.

use std::io::Write;

use tracing::Level;
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

/// Whether an event of this thread reaches anybody. One that was set for another thread alone, as
/// tests do, is none here.
fn has_subscriber() -> bool {
    tracing::dispatcher::get_default(|dispatch| !dispatch.is::<NoSubscriber>())
}

/// Writes a whole line at once, so that those of several processes do not mix.
pub(crate) fn line(text: String) {
    // Nobody is left to be told if stderr cannot be written.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
