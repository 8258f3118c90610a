//! Log events: `tracing` where the program has a subscriber, plain lines on stderr where not.
//!
//! A child has no subscriber of its own; its stderr is read line by line by its parent, so what is
//! written there comes out at the root.

use std::io::Write;

use tracing::Level;

/// An event about the router of the context `name`.
pub(crate) fn event(level: Level, name: &str, text: &str) {
    if !tracing::dispatcher::has_been_set() {
        if level <= Level::WARN {
            line(format_args!("[{name}] {level}: {text}"));
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
    if tracing::dispatcher::has_been_set() {
        tracing::info!(target: "mitogen_service::output", context = name, source, "{text}");
    } else {
        line(format_args!("[{name}] {text}"));
    }
}

fn line(text: std::fmt::Arguments<'_>) {
    // Nobody is left to be told if stderr cannot be written.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
