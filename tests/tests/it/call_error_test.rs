//! Mitogen's `call_error_test`: what an error says is what its caller reads, whatever its size.

use std::fmt;

use mitogen_service::{AllowAny, CallError, Executed, service};
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Worker};

/// An error with a source.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Outer {
    text: String,
    cause: Cause,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cause(String);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[derive(Default)]
struct Raiser;

#[service(activate)]
impl Raiser {
    #[expose(policy = AllowAny)]
    fn raise(&self, text: String, cause: String) -> Result<(), Outer> {
        Err(Outer { text, cause: Cause(cause) })
    }

    #[expose(policy = AllowAny)]
    fn raise_again(&self, error: CallError) -> Result<(), CallError> {
        Err(error)
    }

    #[expose(policy = AllowAny)]
    fn back(&self, error: CallError) -> CallError {
        error
    }
}

/// Texts that something on the way could take for its own.
const TEXTS: [&str; 7] =
    ["", "plain", "%s %d {} {0} {text}", "two\nlines\n", "nul \0 bell \x07", "ü \u{1f980}", "\\x\"'"];

mod constructor_test {
    use super::*;

    #[test]
    fn test_string_noargs_and_string_args_and_bytestring_conversion() {
        let bench = Bench::new();
        let worker = Worker::stub(&bench.child("worker"));
        for text in TEXTS {
            assert_eq!(CallError::failed(text).to_string(), text);
            let error = worker.fail(text.into()).wait().unwrap_err();
            assert!(matches!(&error, CallError::Failed { message, .. } if message == text), "{error:?}");
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn test_from_exc_and_form_base_exc_and_from_exc_tb() {
        let bench = Bench::new();
        let error = Raiser::stub(&bench.child("worker")).raise("text".into(), "cause".into()).wait().unwrap_err();
        let CallError::Failed { type_name, message, chain, .. } = &error else { panic!("{error:?}") };
        assert_eq!((&**type_name, &**message), ("it::call_error_test::Outer", "text"));
        assert_eq!(chain[..], ["cause"], "its sources take the place of a traceback");
        assert_eq!(error.decode::<Outer>().unwrap().cause, Cause("cause".into()));
        assert_eq!(error.executed(), Executed::Yes);
    }
}

mod pickle_test {
    use super::*;

    #[test]
    fn test_string_noargs_and_from_exc() {
        let bench = Bench::new();
        let raiser = Raiser::stub(&bench.child("worker"));
        let raised = raiser.raise("text".into(), "cause".into()).wait().unwrap_err();
        for error in TEXTS.map(CallError::failed).into_iter().chain([raised]) {
            let back = raiser.back(error.clone()).wait().unwrap();
            assert_eq!(back, error, "as an argument and as a result");
            // As an error it has come through one more context.
            let again = raiser.raise_again(error.clone()).wait().unwrap_err();
            assert_eq!((again.to_string(), &again.path()[1..]), (error.to_string(), error.path()));
        }
    }
}

// B8
#[test]
fn errors_of_ten_thousand_characters_and_more_survive() {
    let bench = Bench::new();
    let one = bench.child("one");
    let two = Worker::stub(&one).start_child("two".into()).wait().unwrap();
    let (worker, raiser) = (Worker::stub(&one), Raiser::stub(&two));
    for length in [9_999, 10_000, 10_001, 100_000, 1_000_000] {
        let text = "e".repeat(length);
        let error = worker.fail(text.clone()).wait().unwrap_err();
        assert!(matches!(&error, CallError::Failed { message, .. } if *message == text), "of {length} characters");
        let error = worker.fail_at(vec![two.clone()], text.clone()).wait().unwrap_err();
        assert!(error.to_string() == text && error.path() == ["one", "two"], "of {length} through another context");
        let error = worker.panic(text.clone()).wait().unwrap_err();
        assert!(matches!(&error, CallError::Panicked { message, .. } if *message == text), "a panic of {length}");
        // A source that its error has quoted already would not be told again.
        let cause = "c".repeat(length);
        let error = raiser.raise(text, cause.clone()).wait().unwrap_err();
        assert!(matches!(&error, CallError::Failed { chain, .. } if chain[..] == [&*cause]), "a source of {length}");
    }
}

// B9
#[test]
fn contexts_with_long_names_are_arguments_and_results_and_are_named_in_errors() {
    let bench = Bench::new();
    let sibling = bench.child("sibling");
    for length in [99, 100, 101, 255, 256] {
        let name = "n".repeat(length);
        let long = bench.child(&name);
        let worker = Worker::stub(&sibling);
        Worker::stub(&long).marks().wait().unwrap();
        assert_eq!(worker.echo_at(long.clone(), "to it".into()).wait().unwrap(), "to it", "as an argument");
        assert!(worker.same(long.clone(), long.clone()).wait().unwrap());
        assert_eq!(Worker::stub(&long).myself().wait().unwrap().name(), name, "as a result");
        let below = Worker::stub(&long).start_child(name.clone()).wait().unwrap();
        assert_eq!(below.name(), name);
        let error = Worker::stub(&long).fail_at(vec![below], "no".into()).wait().unwrap_err();
        assert_eq!(error.path(), [&*name, &*name]);
        long.kill().unwrap();
        let error = Worker::stub(&long).marks().wait().unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
    }
}
