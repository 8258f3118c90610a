//! What a call can come back with.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::runtime::tail;
use super::{Error, Exit};
use crate::wire::Blob;

/// Why a call has no result.
///
/// Match on the kind that you can do something about, print the rest: the texts say what to do.
/// [`executed`](Self::executed) tells whether the call may be repeated,
/// [`path`](Self::path) which contexts the error came through.
///
/// ```
/// use mitogen_service::{CallError, Executed};
///
/// fn may_repeat(error: &CallError) -> bool {
///     match error {
///         CallError::Overloaded { .. } => true,
///         other => other.executed() == Executed::No,
///     }
/// }
/// assert!(!may_repeat(&CallError::failed("disk full")));
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallError {
    /// Nothing of this name runs in the context, and no service of this name can be activated.
    #[error("No such service: '{service}'{}", because(reason))]
    NoSuchService {
        /// The canonical name of the service.
        service: String,
        /// What the activator said, empty if nothing.
        reason: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The service is known but does not run yet, and the caller may not start it.
    #[error(
        "Service '{service}' is not yet activated in this context, and the caller is not privileged, \
         therefore autoactivation is disabled."
    )]
    NotActivated {
        /// The canonical name of the service.
        service: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The service has no exposed method of this name.
    #[error("No such method: '{method}' of service '{service}'")]
    NoSuchMethod {
        /// The canonical name of the service.
        service: String,
        /// The name of the method.
        method: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// A policy of the method refused the caller.
    #[error("Caller is not authorized to invoke '{method}' of service '{service}'")]
    Unauthorized {
        /// The name of the method.
        method: String,
        /// The canonical name of the service.
        service: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// An argument was left out that has no default.
    #[error("Required argument '{name}' missing.")]
    ArgMissing {
        /// The name of the argument.
        name: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// An argument has another type.
    #[error("Argument '{name}' type incorrect, got '{got}', expected '{expected}'{}", because(reason))]
    ArgType {
        /// The name of the argument.
        name: String,
        /// What came over the wire, such as `string` or `array`.
        got: String,
        /// The type in the method's signature.
        expected: String,
        /// What the decoder said, empty if the types tell it all.
        reason: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The method has no argument of this name.
    #[error("Argument '{name}' is unknown; the method takes {}", listed(known))]
    ArgUnknown {
        /// The name of the argument.
        name: String,
        /// The names that the method knows.
        known: Vec<String>,
        /// Where the error came through.
        trace: Trace,
    },
    /// A check of `#[arg_spec(..)]` refused the argument.
    #[error("Argument '{name}' refused{}", because(reason))]
    ArgInvalid {
        /// The name of the argument.
        name: String,
        /// What the check said, empty if it only said no.
        reason: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// An argument or a result cannot be encoded. For an argument, nothing was sent.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// Which value it was.
        what: String,
        /// What the encoder said.
        reason: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The other side sent bytes that are not what the protocol or the signature asks for.
    #[error("Invalid message format: {reason}")]
    Malformed {
        /// What was wrong.
        reason: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The method returned an error.
    #[error("{message}{}", chained(chain))]
    Failed {
        /// The Rust type of the error in the context that raised it.
        type_name: String,
        /// Its text.
        message: String,
        /// The texts of its sources, outermost first.
        chain: Vec<String>,
        /// The error itself, when its type can be serialized; see [`CallError::decode`].
        data: Option<Blob>,
        /// Where the error came through.
        trace: Trace,
    },
    /// The method panicked. Its service goes on.
    #[error("the method panicked: {message}")]
    Panicked {
        /// The panic's text.
        message: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// A bound was reached, and the call was not taken. It may be tried again later.
    #[error("overloaded: {what}")]
    Overloaded {
        /// Which bound it was.
        what: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The time given to the call was over.
    #[error("the deadline was exceeded; {by}")]
    DeadlineExceeded {
        /// Who gave up.
        by: DeadlineBy,
        /// Where the error came through.
        trace: Trace,
    },
    /// The call was given up: its `Reply` was dropped unanswered, or its caller cancelled it. Also the end
    /// of a receiver, a sender or a select that was closed, which its text tells in Mitogen's words alone.
    #[error("{}{reason}", if is_of_no_call(reason) { "" } else { "the call was cancelled: " })]
    Cancelled {
        /// By what.
        reason: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The pool of the context was stopped before the call ran.
    ///
    /// Mitogen answers a call that comes after that with "invalid handle".
    #[error("the pool of the context was stopped before the call ran (invalid handle)")]
    Stopped {
        /// Where the error came through.
        trace: Trace,
    },
    /// Waiting for this call could never end.
    #[error("the call would wait for itself: {}", chain.join(" -> "))]
    Deadlock {
        /// The calls that wait for one another, outermost first.
        chain: Vec<String>,
        /// Where the error came through.
        trace: Trace,
    },
    /// The message is larger than the router's bound.
    #[error("message too large (max {max} bytes): got {got}")]
    TooLarge {
        /// The size of the payload in bytes, 0 if only another context knows it.
        got: u64,
        /// The bound in bytes.
        max: u64,
        /// Where the error came through.
        trace: Trace,
    },
    /// The context, or one on the way to it, refused the message before any service saw it.
    #[error("context `{context}` did not take the message: {reason}{}", advice(reason))]
    Refused {
        /// Why, in Mitogen's words: "refused by policy", "invalid handle"...
        reason: String,
        /// The name of the context that was called.
        context: String,
        /// Where the error came through.
        trace: Trace,
    },
    /// The context is gone, or one on the way to it.
    #[error("context `{context}` is gone: {reason}{}{}", exited(exit.as_ref()), tail(stderr_tail))]
    Dead {
        /// What was noticed, in Mitogen's words: "the respondent Context has disconnected"...
        reason: String,
        /// The name of the context that ended.
        context: String,
        /// How its process ended, where that is known.
        exit: Option<Exit>,
        /// The last lines that the process wrote to its standard error output.
        stderr_tail: String,
        /// Where the error came through.
        trace: Trace,
    },
}

/// Whether the method of a failed call has run; tells whether the call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Executed {
    /// No part of the method ran.
    No,
    /// Nobody knows: the answer was lost.
    Maybe,
    /// The method began to run.
    Yes,
}

/// Who gave a call up when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeadlineBy {
    /// The caller stopped waiting; whether the method has run is not known.
    Caller,
    /// The call's time was over before the method was started.
    Queue,
    /// The method was running.
    Method,
}

/// Where an error came through, and how far its call had come: see [`CallError::path`] and
/// [`CallError::executed`].
///
/// The default is that of an error that was noticed in this process, before anything ran.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
// Boxed since every `Result` of a call carries one, and few errors come from far.
pub struct Trace(Option<Box<Steps>>);

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Steps {
    /// The contexts, nearest first.
    path: Vec<String>,
    /// What is known beyond the kind of the error.
    executed: Option<Executed>,
}

/// The one field that all kinds have, by reference or by mutable reference.
macro_rules! trace_of {
    ($error:expr) => {
        match $error {
            CallError::NoSuchService { trace, .. }
            | CallError::NotActivated { trace, .. }
            | CallError::NoSuchMethod { trace, .. }
            | CallError::Unauthorized { trace, .. }
            | CallError::ArgMissing { trace, .. }
            | CallError::ArgType { trace, .. }
            | CallError::ArgUnknown { trace, .. }
            | CallError::ArgInvalid { trace, .. }
            | CallError::Encode { trace, .. }
            | CallError::Malformed { trace, .. }
            | CallError::Failed { trace, .. }
            | CallError::Panicked { trace, .. }
            | CallError::Overloaded { trace, .. }
            | CallError::DeadlineExceeded { trace, .. }
            | CallError::Cancelled { trace, .. }
            | CallError::Stopped { trace }
            | CallError::Deadlock { trace, .. }
            | CallError::TooLarge { trace, .. }
            | CallError::Refused { trace, .. }
            | CallError::Dead { trace, .. } => trace,
        }
    };
}

impl CallError {
    /// An error as a method would have returned it, with this text.
    ///
    /// For doubles and for [`Reply`](crate::Reply), where there is no method to return one.
    ///
    /// ```
    /// # use mitogen_service::CallError;
    /// assert_eq!(CallError::failed("no such user").to_string(), "no such user");
    /// ```
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed {
            type_name: String::new(),
            message: message.to_string(),
            chain: Vec::new(),
            data: None,
            trace: Trace::default(),
        }
    }

    /// The method's own error, if it is an `E` and `E` can be serialized.
    ///
    /// The type must be the one that the method returned, by its full name.
    ///
    /// ```
    /// # use mitogen_service::CallError;
    /// assert_eq!(CallError::failed("no such user").decode::<String>(), None);
    /// ```
    pub fn decode<E: DeserializeOwned>(&self) -> Option<E> {
        match self {
            Self::Failed { type_name, data: Some(data), .. } if type_name == std::any::type_name::<E>() => {
                crate::wire::value::decode(data).ok()
            }
            _ => None,
        }
    }

    /// Whether the method has run. `No` means that the call can safely be made again.
    ///
    /// A method that returns the error of a call of its own has run, whatever that error says.
    pub fn executed(&self) -> Executed {
        let told = self.trace().0.as_ref().and_then(|steps| steps.executed);
        told.unwrap_or_else(|| self.executed_by_kind())
    }

    fn executed_by_kind(&self) -> Executed {
        match self {
            Self::Failed { .. } | Self::Panicked { .. } => Executed::Yes,
            Self::DeadlineExceeded { by, .. } => match by {
                DeadlineBy::Queue => Executed::No,
                DeadlineBy::Caller => Executed::Maybe,
                DeadlineBy::Method => Executed::Yes,
            },
            // An answer may be what could not be read, or what will not come any more.
            Self::Malformed { .. } | Self::Dead { .. } => Executed::Maybe,
            _ => Executed::No,
        }
    }

    /// The same error of a call of which more is known than its kind says.
    pub(crate) fn with_executed(mut self, executed: Executed) -> Self {
        self.trace_mut().0.get_or_insert_default().executed = Some(executed);
        self
    }

    /// The contexts that the error came through, nearest first: of an error raised in `db` and
    /// passed on by `web` this is `["web", "db"]`.
    pub fn path(&self) -> &[String] {
        self.trace().0.as_ref().map_or(&[], |steps| steps.path.as_slice())
    }

    /// The same error without what may quote an argument, for logs.
    pub(crate) fn without_arguments(&self) -> Self {
        let mut error = self.clone();
        match &mut error {
            Self::ArgType { reason, .. } | Self::ArgInvalid { reason, .. } => reason.clear(),
            Self::ArgUnknown { name, .. } => "(not shown)".clone_into(name),
            _ => {}
        }
        error
    }

    /// What kind of refusal it is, in words that nobody else has chosen.
    pub(crate) fn refusal(&self) -> &'static str {
        match self {
            Self::NoSuchService { .. } => "there is no such service",
            Self::NotActivated { .. } => "the service is not activated, and the caller may not cause that",
            Self::NoSuchMethod { .. } => "there is no such method",
            Self::Unauthorized { .. } => "the caller is not authorized",
            Self::Malformed { .. } => "the message is malformed",
            Self::Overloaded { .. } => "overloaded",
            Self::Stopped { .. } => "the pool was stopped",
            Self::Deadlock { .. } => "it would wait for itself",
            Self::Cancelled { .. } => "it was dropped",
            Self::DeadlineExceeded { .. } => "its time was over",
            _ => "it could not be run",
        }
    }

    /// The same error, seen by the caller of `context`.
    pub(crate) fn through(mut self, context: &str) -> Self {
        self.trace_mut().0.get_or_insert_default().path.insert(0, context.to_owned());
        self
    }

    fn trace(&self) -> &Trace {
        trace_of!(self)
    }

    fn trace_mut(&mut self) -> &mut Trace {
        trace_of!(self)
    }
}

/// A runtime error met by a method stays a call error where it is one, and is the method's own
/// failure otherwise.
impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error {
            Error::Call(error) => error,
            other => Self::Failed {
                type_name: std::any::type_name::<Error>().to_owned(),
                message: other.to_string(),
                chain: Vec::new(),
                data: None,
                trace: Trace::default(),
            },
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("here"),
            Some(steps) => match steps.executed {
                None => write!(f, "{:?}", steps.path),
                Some(executed) => write!(f, "{:?}, executed: {executed:?}", steps.path),
            },
        }
    }
}

impl fmt::Display for DeadlineBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "the caller stopped waiting",
            Self::Queue => "the call was still queued",
            Self::Method => "the method was still running",
        })
    }
}

/// Why a receiver has ended in good order: all its senders have closed. These words, and those of the
/// other ends, are Mitogen's.
pub(crate) const CHANNEL_CLOSED: &str = "Channel closed by remote end.";

/// What a receiver says that its owner has closed.
pub(crate) const RECEIVER_CLOSED: &str = "the Receiver has been closed";

/// What a sender says that its owner has closed.
const SENDER_CLOSED: &str = "Sender was explicitly closed";

/// What those are told who wait for a select that was closed, or add to it.
pub(crate) const SELECT_CLOSED: &str = "the Select has been closed";

/// Whether this is the end of something that is no call.
fn is_of_no_call(reason: &str) -> bool {
    [CHANNEL_CLOSED, RECEIVER_CLOSED, SENDER_CLOSED, SELECT_CLOSED].contains(&reason)
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// What to do about a refusal that has one usual cause.
fn advice(reason: &str) -> &'static str {
    match reason {
        "invalid handle" => {
            "; nothing runs services there: the root makes a pool with `Pool::builder(&router)`, any other context \
             when a parent first calls a service in it"
        }
        _ => "",
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no arguments".to_owned() } else { names.join(", ") }
}

fn chained(chain: &[String]) -> String {
    chain.iter().map(|text| format!(": {text}")).collect()
}

fn exited(exit: Option<&Exit>) -> String {
    exit.map(|exit| format!("; its process was {exit}")).unwrap_or_default().replace("was exited", "exited")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> CallError {
        CallError::Dead {
            reason: "the respondent Context has disconnected".into(),
            context: "worker".into(),
            exit: Some(Exit::Signal { signal: 11, core_dumped: false }),
            stderr_tail: "last words\n".into(),
            trace: Trace::default(),
        }
    }

    #[test]
    fn a_dead_context_tells_signal_and_last_words() {
        assert_eq!(
            dead().to_string(),
            "context `worker` is gone: the respondent Context has disconnected; its process was \
             killed by SIGSEGV; the last lines of its stderr:\nlast words"
        );
    }

    #[test]
    fn what_is_no_call_ends_in_its_own_words() {
        let text = |reason: &str| CallError::Cancelled { reason: reason.into(), trace: Trace::default() }.to_string();
        assert_eq!(text(CHANNEL_CLOSED), "Channel closed by remote end.");
        assert_eq!(text(RECEIVER_CLOSED), "the Receiver has been closed");
        assert_eq!(
            text("its reply was dropped unanswered"),
            "the call was cancelled: its reply was dropped unanswered"
        );
    }

    #[test]
    fn a_refusal_for_want_of_a_pool_says_what_to_do_and_others_do_not() {
        let text = |reason: &str| {
            let (reason, context) = (reason.to_owned(), "root".to_owned());
            CallError::Refused { reason, context, trace: Trace::default() }.to_string()
        };
        assert_eq!(
            text("invalid handle"),
            "context `root` did not take the message: invalid handle; nothing runs services there: the root makes a \
             pool with `Pool::builder(&router)`, any other context when a parent first calls a service in it"
        );
        assert_eq!(text("refused by policy"), "context `root` did not take the message: refused by policy");
    }

    #[test]
    fn a_result_of_a_call_stays_small() {
        // clippy::result_large_err would complain in our users' crates from 128 bytes on.
        assert!(size_of::<CallError>() < 128, "{}", size_of::<CallError>());
    }

    #[test]
    fn every_kind_survives_the_wire() {
        let mut bytes = Vec::new();
        crate::wire::value::encode(&dead(), &mut bytes).unwrap();
        assert_eq!(crate::wire::value::decode::<CallError>(&bytes).unwrap(), dead());
    }

    #[test]
    fn what_is_known_of_a_call_wins_over_the_kind_of_its_error() {
        let stopped = || CallError::Stopped { trace: Trace::default() };
        assert_eq!(stopped().executed(), Executed::No);
        assert_eq!(stopped().with_executed(Executed::Yes).through("db").executed(), Executed::Yes);
        assert_eq!(CallError::failed("x").executed(), Executed::Yes);
        assert_eq!(dead().executed(), Executed::Maybe);
    }

    #[test]
    fn the_path_grows_towards_the_caller() {
        let error = CallError::failed("x").through("db").through("web");
        assert_eq!(error.path(), ["web", "db"]);
    }

    #[test]
    fn decode_wants_the_very_type() {
        let mut data = Vec::new();
        crate::wire::value::encode("text", &mut data).unwrap();
        let error = CallError::Failed {
            type_name: std::any::type_name::<String>().into(),
            message: "text".into(),
            chain: vec![],
            data: Some(data.into()),
            trace: Trace::default(),
        };
        assert_eq!(error.decode::<String>().as_deref(), Some("text"));
        assert_eq!(error.decode::<Box<str>>(), None);
    }
}
