//! What is known of the end of a context, as far as it has come through.

use serde::{Deserialize, Serialize};

use super::core::Core;
use super::names::sane_name;
use crate::error::{CallError, Exit, Trace};
use crate::io::Closed;
use crate::wire::{DeadReason, value};

/// How many bytes of a dead process's last words travel.
const MAX_TAIL: usize = 4 * 1024;

/// What to look for when a router is gone that is still needed.
const TOO_EARLY: &str = "this process has shut its router down, or dropped the last `Router`, perhaps too early";

/// Why no more will come from a context.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Death {
    /// The name of the context whose process or stream has ended.
    pub(crate) context: String,
    /// What was noticed, in Mitogen's words.
    pub(crate) reason: String,
    /// How the process ended, where somebody could know it.
    pub(crate) exit: Option<Exit>,
    /// Its last lines on stderr.
    pub(crate) stderr_tail: String,
}

impl Death {
    /// A context whose stream has ended, and nothing more is known.
    pub(crate) fn disconnected(context: &str) -> Self {
        Self::because(context, DeadReason::disconnected().text)
    }

    /// What those who waited for a context are told of the end of its stream.
    pub(crate) fn reason_of(why: &Closed) -> String {
        let disconnected = DeadReason::disconnected().text;
        match why {
            Closed::Silent(_) => format!("{disconnected}: {why}"),
            Closed::Eof | Closed::Local | Closed::Broken(_) => disconnected,
        }
    }

    /// The router of this process is no more, and with it the way to `context`.
    pub(crate) fn router_closed(context: &str) -> Self {
        let reason = DeadReason::router_closed().text;
        Self::because(context, format!("{reason}: {TOO_EARLY}"))
    }

    /// Whether it is the end of the router that tells of it, and of no other context.
    pub(crate) fn is_own(&self, core: &Core) -> bool {
        self.context == core.identity().name && self.reason.ends_with(TOO_EARLY)
    }

    /// Nothing more will come, for this reason.
    pub(crate) fn because(context: &str, reason: impl Into<String>) -> Self {
        Self { context: context.to_owned(), reason: reason.into(), exit: None, stderr_tail: String::new() }
    }

    /// The encoding for parents, which may know everything.
    pub(crate) fn for_parent(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // Strings and numbers always have an encoding.
        let _ = value::encode(self, &mut out);
        out
    }

    /// The encoding for other branches of the tree, without what the process wrote.
    pub(crate) fn for_strangers(&self) -> Vec<u8> {
        Self { stderr_tail: String::new(), ..self.clone() }.for_parent()
    }

    /// Decodes what a neighbour said; a neighbour that says nothing useful is not asked again.
    pub(crate) fn decode(raw: Option<&[u8]>, context: &str) -> Self {
        let mut death =
            raw.and_then(|raw| value::decode::<Self>(raw).ok()).unwrap_or_else(|| Self::disconnected(context));
        death.context = sane_name(&death.context);
        death.reason = sane_name(&death.reason);
        cut(&mut death.stderr_tail, MAX_TAIL);
        death
    }

    /// The error of a call that waited for the context.
    pub(crate) fn into_call_error(self) -> CallError {
        let Self { context, reason, exit, stderr_tail } = self;
        CallError::Dead { reason, context, exit, stderr_tail, trace: Trace::default() }
    }
}

/// Shortens a text to at most `max` bytes, at a character's border.
pub(crate) fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
}
