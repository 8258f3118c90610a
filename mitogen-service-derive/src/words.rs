//! The words of the attributes, as constants, so that a misspelt one cannot compile here.

/// The attribute of a block or a type.
pub(crate) const SERVICE: &str = "service";
/// The attribute that marks a method as callable.
pub(crate) const EXPOSE: &str = "expose";
/// The attribute of a method whose caller waits for no answer.
pub(crate) const NO_REPLY: &str = "no_reply";
/// The attribute of a method that checks its arguments.
pub(crate) const ARG_SPEC: &str = "arg_spec";
/// The attribute of a method that runs before the first call.
pub(crate) const ON_START: &str = "on_start";
/// The attribute of a method that takes what arrives at the service's select.
pub(crate) const ON_MESSAGE: &str = "on_message";
/// The attribute of a method that runs when the pool ends.
pub(crate) const ON_SHUTDOWN: &str = "on_shutdown";
/// The attribute of a function that other processes may call.
pub(crate) const FUNCTION: &str = "function";
/// The attribute of a parameter.
pub(crate) const ARG: &str = "arg";

/// Option: the name under which a service is called.
pub(crate) const NAME: &str = "name";
/// Option: how calls of a service or of one method are run.
pub(crate) const INVOKER: &str = "invoker";
/// Option: enter the service into the registry.
pub(crate) const ACTIVATE: &str = "activate";
/// Option: the visibility of the generated items.
pub(crate) const VIS: &str = "vis";
/// Option: the types that a generic service is there for.
pub(crate) const TYPES: &str = "types";
/// Option: where the runtime crate is found.
pub(crate) const CRATE: &str = "crate";
/// Option: who may call a method.
pub(crate) const POLICY: &str = "policy";
/// Option: what an argument is when the caller leaves it out.
pub(crate) const DEFAULT: &str = "default";
/// Option: the name by which an argument travels.
pub(crate) const RENAME: &str = "rename";
/// Option: a function that an argument must satisfy.
pub(crate) const CHECK: &str = "check";
/// Option: how the router of `main` is built.
pub(crate) const ROUTER: &str = "router";

/// The attributes of the methods of a `#[service]` block.
pub(crate) const OF_METHODS: &[&str] = &[EXPOSE, NO_REPLY, ARG_SPEC, ON_START, ON_MESSAGE, ON_SHUTDOWN];
/// Those of them that are looked for on a `#[function]`.
pub(crate) const OF_FUNCTIONS: &[&str] = &[EXPOSE, NO_REPLY, ARG_SPEC];

/// The options of `#[service]` on an impl block.
pub(crate) const ON_IMPL: &[&str] = &[NAME, INVOKER, ACTIVATE, TYPES, VIS, CRATE];
/// The options of `#[service]` on a struct or enum.
pub(crate) const ON_TYPE: &[&str] = &[NAME, INVOKER, ACTIVATE];
/// The options of `#[service]` that a type cannot have.
pub(crate) const ONLY_ON_IMPL: &[&str] = &[TYPES, VIS, CRATE];
/// The options of `#[expose]`.
pub(crate) const OF_EXPOSE: &[&str] = &[POLICY, INVOKER];
/// The options of `#[on_message]`.
pub(crate) const OF_ON_MESSAGE: &[&str] = &[POLICY];
/// The options of `#[arg]`.
pub(crate) const OF_ARG: &[&str] = &[DEFAULT, RENAME];
/// The options of an argument inside `#[arg_spec]`.
pub(crate) const OF_ARG_SPEC: &[&str] = &[CHECK];
/// The options of `#[function]`.
pub(crate) const OF_FUNCTION: &[&str] = &[CRATE];
/// The options of `#[main]`.
pub(crate) const OF_MAIN: &[&str] = &[CRATE, ROUTER];

/// The function that `#[service]` adds to the user's type.
pub(crate) const STUB: &str = "stub";
/// The parameters of functions that `#[service]` makes, where their users see them. No function of
/// `#[function]` can have such a name: it would be a static, which no parameter can hide.
pub(crate) const OF_GENERATED: &[&str] = &["caller", "context", "double", "timeout"];
/// What a stub has of its own, so that no exposed method can have the name.
pub(crate) const OF_STUB: &[&str] = &["clone", "faked", "no_wait", "on_behalf_of", "with_timeout"];
