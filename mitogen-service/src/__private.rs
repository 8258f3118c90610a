//! What generated code uses. Not for users: it changes with every version.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::marker::PhantomData;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

pub use linkme;

/// Enters the constant `ENTRY` into what the linker puts together.
///
/// Where the runtime crate is not found, this macro is not found either, and nothing more is said of what would have
/// been inside.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($slice:ident: $ty:ty) => {
        #[$crate::__private::linkme::distributed_slice($crate::__private::$slice)]
        #[linkme(crate = $crate::__private::linkme)]
        static ENTERED: $ty = ENTRY;
    };
}
pub use crate::__register as register;

pub use crate::router::{Router, RouterBuilder};
pub use crate::service::{
    Answer, ArgSpec, Args, Asked, CheckOutcome, FUNCTIONS, FunctionSignature, Hooks, Host, Hosting, Invocation,
    InvokerIsGivenOnce, KeyOf, KeyWriter, Listed, MAINS, Making, Method, MethodDescriptor, NameIsGivenOnce, NoPolicy,
    NotHosted, NotMaking, Outcome, REGISTRY, Registered, Registration, Remote, Resolved, ServiceDescriptor,
    StructOptions, StubRequest, Target, Uncached, allows, any_allows, apply_check, construct, default_invoker, failure,
    hosting, make_default, member, not_faked, sharing, travels, unhosted,
};
pub use crate::wire::value::{DecodeError, EncodeError};
pub use crate::wire::{bytes, path, value};

/// How long the contexts below may take to end in good order after `main` has returned.
const END_OF_MAIN: Duration = Duration::from_secs(1);

/// What `#[mitogen_service::main]` makes of a `main`.
pub fn run_main(builder: RouterBuilder, body: impl FnOnce(&Router) -> ExitCode) -> ExitCode {
    crate::entry::init();
    let router = match builder.build() {
        Ok(router) => router,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = body(&router);
    router.shutdown(END_OF_MAIN);
    code
}

/// Waits for a future on this thread: an `async fn main` without a runtime of its own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Stands in for the body of a method that could not be generated. The build fails anyway.
pub fn macro_failed() -> ! {
    unreachable!("a service whose macro failed does not compile")
}

/// Whether a type is that of its name in the module around it. Inside a function it need not be.
pub mod place {
    use super::PhantomData;

    /// A name that the module does not know.
    #[derive(Debug)]
    pub struct Elsewhere;

    /// The type, and what its name means in the module.
    #[derive(Debug)]
    pub struct Here<T, U>(PhantomData<(T, U)>);

    impl<T> Here<T, T> {
        /// They are the same.
        pub const IS_HERE: bool = true;
    }

    /// What is said of all other pairs: an inherent constant wins over one of a trait.
    pub trait NotHere {
        /// They are not the same.
        const IS_HERE: bool = false;
    }

    impl<T, U> NotHere for Here<T, U> {}
}

/// What becomes of the value that `main` returns: an error is printed as a text, with its causes;
/// everything else is up to `Termination`.
pub mod report {
    use super::{Cell, Debug, Display, ExitCode, Termination};

    /// The value, on its way out.
    #[expect(missing_debug_implementations, reason = "it lives for one statement")]
    pub struct Report<T>(Cell<Option<T>>);

    impl<T> Report<T> {
        /// Takes what `main` returned.
        pub fn new(value: T) -> Self {
            Self(Cell::new(Some(value)))
        }
    }

    /// What `main` may return.
    #[diagnostic::on_unimplemented(
        message = "`main` cannot return `{Self}`",
        label = "says nothing about the status of the process",
        note = "return `()`, an `ExitCode`, or a `Result` of one of these whose error has `Debug`"
    )]
    pub trait Status {}

    #[diagnostic::do_not_recommend]
    impl<T: Termination> Status for T {}

    /// Asks for it.
    pub fn must_terminate<T: Status>() {}

    /// A result whose error has a text.
    pub trait AsError {
        /// Prints the error and tells the status.
        fn report(&self) -> ExitCode;
    }

    impl<T: Termination, E: Display + Debug> AsError for &&Report<Result<T, E>> {
        fn report(&self) -> ExitCode {
            match self.0.take() {
                Some(Ok(value)) => value.report(),
                Some(Err(error)) => {
                    eprintln!("Error: {error:#}");
                    ExitCode::FAILURE
                }
                None => ExitCode::SUCCESS,
            }
        }
    }

    /// Anything that `main` may return.
    pub trait AsTermination {
        /// Tells the status.
        fn report(&self) -> ExitCode;
    }

    impl<T: Termination> AsTermination for &Report<T> {
        fn report(&self) -> ExitCode {
            self.0.take().map_or(ExitCode::SUCCESS, Termination::report)
        }
    }

    /// Something that `main` may not return, which [`must_terminate`] has said.
    pub trait AsNothing {
        /// In place of the status.
        fn report(&self) -> ExitCode {
            super::macro_failed()
        }
    }

    impl<T> AsNothing for Report<T> {}
}
