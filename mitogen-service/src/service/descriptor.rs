//! What a service says of itself: names, arguments, policies, docs. Written by `#[service]`.

use super::dispatch::Method;
use super::hooks::Hooks;
use super::hosted::Hosting;
use super::invoker::Invoker;

/// A type whose methods can be called from other contexts.
///
/// Implemented by [`#[service]`](macro@crate::service), never by hand.
///
/// ```
/// use mitogen_service::{AllowAny, Service, service};
///
/// struct Clock;
///
/// #[service(name = "clock")]
/// impl Clock {
///     #[expose(policy = AllowAny)]
///     fn now(&self) -> u64 {
///         7
///     }
/// }
///
/// assert_eq!(Clock::DESCRIPTOR.name, "clock");
/// assert_eq!(Clock::DESCRIPTOR.methods[0].policies, ["AllowAny"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "not a service",
    note = "mark an `impl {Self}` block with `#[mitogen_service::service]`",
    note = "a generic service is one with types that make it `Send + Sync + 'static`"
)]
pub trait Service: Sized + 'static {
    /// What the service says of itself.
    const DESCRIPTOR: &'static ServiceDescriptor;

    /// How its methods are called, in the order of the descriptor.
    #[doc(hidden)]
    const METHODS: &'static [Method<Self>];

    /// What it does at moments of its life.
    #[doc(hidden)]
    const HOOKS: Hooks<Self> = Hooks::NONE;

    /// How its type is left behind and found again, which takes a service that threads may share. It
    /// is no bound of this trait, since each use of the trait would then say that it does not hold.
    #[doc(hidden)]
    const HOSTING: Hosting<Self>;

    /// A new invoker for one instance of the service.
    #[doc(hidden)]
    fn invoker() -> Box<dyn Invoker>;
}

/// What a service says of itself.
#[derive(Debug)]
pub struct ServiceDescriptor {
    /// The canonical name, by which callers ask for the service: `my_crate::files::Files`.
    pub name: &'static str,
    /// The name of the Rust type.
    pub type_name: &'static str,
    /// The doc comment of the impl block.
    pub docs: &'static str,
    /// What runs the calls of the methods without an invoker of their own, as it is written in the source.
    pub invoker: &'static str,
    /// The exposed methods, in the order of the source.
    pub methods: &'static [MethodDescriptor],
}

/// What a service says of a method.
#[derive(Clone, Copy, Debug)]
pub struct MethodDescriptor {
    /// The name that callers use.
    pub name: &'static str,
    /// The doc comment.
    pub docs: &'static str,
    /// The arguments, in the order of the signature, without the injected ones.
    pub args: &'static [ArgSpec],
    /// The policies as they are written in the source; every one must agree.
    pub policies: &'static [&'static str],
    /// The invoker of this method alone, as it is written in the source, if it has one.
    pub invoker: Option<&'static str>,
    /// The type that the caller gets, as it is written in the source.
    pub result: &'static str,
    /// Whether the stub waits for no answer.
    pub no_reply: bool,
}

/// What a service says of an argument.
#[derive(Debug)]
pub struct ArgSpec {
    /// The name by which it travels.
    pub name: &'static str,
    /// The type as it is written in the source.
    pub type_name: &'static str,
    /// Whether a call without it is refused.
    pub required: bool,
    /// What it is in a call without it, as it is written in the source.
    pub default: Option<&'static str>,
}

impl ServiceDescriptor {
    /// The position of a method.
    pub(crate) fn method(&self, name: &str) -> Option<usize> {
        self.methods.iter().position(|method| method.name == name)
    }
}

/// The options of `#[service(..)]` on a struct; inherent constants of the same names win over these.
#[doc(hidden)]
pub trait StructOptions {
    /// The option `name`.
    const __MITOGEN_SERVICE_NAME: Option<&'static str> = None;
    /// The option `activate`.
    const __MITOGEN_SERVICE_ACTIVATE: bool = false;
    /// The option `invoker` as it is written.
    const __MITOGEN_SERVICE_INVOKER_NAME: Option<&'static str> = None;
    /// The option `invoker`.
    const __MITOGEN_SERVICE_INVOKER: Option<fn() -> Box<dyn Invoker>> = None;
}

impl<T: ?Sized> StructOptions for T {}

/// The option `name` of a generic service, which its type and its impl block both implement if both give it.
#[doc(hidden)]
pub trait NameIsGivenOnce {}

/// The same of the option `invoker`.
#[doc(hidden)]
pub trait InvokerIsGivenOnce {}

/// A type that a generic service is there for, with the name that it has then.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not among the `types` of its `#[service]`",
    label = "not among the `types`",
    note = "add it there: `types = [.., {Self}]`"
)]
#[doc(hidden)]
pub trait Listed {
    /// The canonical name.
    const NAME: &'static str;
}
