//! A function as its callers see it.

use std::fmt;
use std::ops::Deref;

use crate::channel::Call;
use crate::router::Context;
use crate::service::descriptor::MethodDescriptor;
use crate::service::stub::{Remote, StubRequest};
use crate::wire::value::DecodeError;

use super::registry::SERVICE;

/// A function that [`Context::call`] can call in another context.
///
/// [`#[mitogen_service::function]`](macro@crate::function) makes a static of this type from a function.
/// It is small and `Copy`. It derefs to a plain function pointer `F`, so that calling it like any
/// function runs it here and now; where a closure is expected, write `*function`. `S` is what a
/// remote call takes and gives, and is never written by hand.
///
/// ```
/// #[mitogen_service::function]
/// fn twice(n: u32) -> u32 {
///     n * 2
/// }
///
/// assert_eq!(twice(4), 8);
/// assert_eq!([1, 2].map(*twice), [2, 4]);
/// assert!(twice.name().ends_with("::twice"));
/// ```
pub struct Function<F: 'static, S: ?Sized + for<'a> FunctionSignature<'a>> {
    method: &'static MethodDescriptor,
    local: F,
    encode: Encode<S>,
    decode: Decode<S>,
}

type Encode<S> = for<'a> fn(<S as FunctionSignature<'a>>::Args, &mut StubRequest);
type Decode<S> = fn(&[u8]) -> Result<<S as FunctionSignature<'static>>::Answer, DecodeError>;

/// What a remote call of a function takes and gives.
///
/// It is only ever used as a trait object that nobody makes, which is how a type can say "for each
/// lifetime": `dyn for<'a> FunctionSignature<'a, Args = &'a str, Answer = usize>`.
#[doc(hidden)]
pub trait FunctionSignature<'a> {
    /// Nothing, the one argument, or a tuple of them.
    type Args;
    /// What the caller gets.
    type Answer;
}

/// What [`Context::call`] can call: a [`Function`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called in another context",
    label = "not a remote function",
    note = "mark the function with `#[mitogen_service::function]`; a closure or a method has to become a function first"
)]
pub trait Callable: sealed::Sealed {
    /// The arguments: `()` for none, the value itself for one, a tuple of two and more.
    type Args<'a>;
    /// What the caller gets.
    type Answer;

    /// Sends the call.
    #[doc(hidden)]
    fn start(self, context: &Context, args: Self::Args<'_>) -> Call<Self::Answer>;
}

mod sealed {
    /// What is called has to be in the registry, so nobody else can say that it can be.
    pub trait Sealed {}
}

impl Context {
    /// Calls a function in this context, on a thread of its pool.
    ///
    /// The function is marked with [`#[mitogen_service::function]`](macro@crate::function). `args` are its
    /// parameters without `&Router` and `&Caller`, which are those of the context that runs it: `()`
    /// for none, the value itself for one, a tuple of two and more.
    ///
    /// Only who has a parent's authority over the context may call functions there, and the context
    /// itself; others get [`CallError::Unauthorized`](crate::CallError::Unauthorized). Everything else is
    /// as for a call of a service: the context makes its pool at the first call, a call that is made
    /// inside of another one inherits its deadline, dropping the [`Call`] cancels.
    ///
    /// ```
    /// use mitogen_service::{Router, function, testing};
    ///
    /// #[function]
    /// fn repeat(text: &str, times: usize, router: &Router) -> String {
    ///     format!("{} says {}", router.myself(), text.repeat(times))
    /// }
    ///
    /// let (parent, child) = testing::pair();
    /// let said = parent.children()[0].call(repeat, ("ab", 2)).wait()?;
    /// assert_eq!(said, format!("{} says abab", child.myself()));
    /// # Ok::<(), mitogen_service::CallError>(())
    /// ```
    pub fn call<F: Callable>(&self, function: F, args: F::Args<'_>) -> Call<F::Answer> {
        function.start(self, args)
    }
}

impl<F, S: ?Sized + for<'a> FunctionSignature<'a>> Function<F, S> {
    /// Written by `#[function]`.
    #[doc(hidden)]
    pub const fn new(method: &'static MethodDescriptor, local: F, encode: Encode<S>, decode: Decode<S>) -> Self {
        Self { method, local, encode, decode }
    }

    /// The path of the function, by which it is called: `my_crate::files::download`.
    pub fn name(&self) -> &'static str {
        self.method.name
    }
}

impl<F, S: ?Sized + for<'a> FunctionSignature<'a>> sealed::Sealed for Function<F, S> {}

impl<F, S: ?Sized + for<'a> FunctionSignature<'a>> Callable for Function<F, S> {
    type Args<'a> = <S as FunctionSignature<'a>>::Args;
    type Answer = <S as FunctionSignature<'static>>::Answer;

    fn start(self, context: &Context, args: Self::Args<'_>) -> Call<Self::Answer> {
        let mut request = Remote::plain(context).begin(SERVICE, self.method);
        (self.encode)(args, &mut request);
        request.call(self.decode)
    }
}

impl<F, S: ?Sized + for<'a> FunctionSignature<'a>> Deref for Function<F, S> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.local
    }
}

impl<F: Copy, S: ?Sized + for<'a> FunctionSignature<'a>> Clone for Function<F, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Copy, S: ?Sized + for<'a> FunctionSignature<'a>> Copy for Function<F, S> {}

impl<F, S: ?Sized + for<'a> FunctionSignature<'a>> fmt::Debug for Function<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({})", self.name())
    }
}
