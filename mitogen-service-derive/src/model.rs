//! A service as the macro understands it: plain fields, every rule already checked.
//!
//! [`Service`] exists only if the whole block is right. [`Sketch`] is what can be told of it when
//! there are mistakes: enough for the stub, so that a mistake does not show up a second time
//! wherever the stub is used.

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Expr, ExprPath, Generics, Ident, LitStr, Path, Type, Visibility};

/// A checked `#[service]` impl block.
pub(crate) struct Service {
    pub(crate) names: Names,
    pub(crate) docs: String,
    pub(crate) options: Options,
    pub(crate) methods: Vec<Method>,
    pub(crate) hooks: Hooks,
}

/// An impl block with mistakes, as its callers see it.
pub(crate) struct Sketch {
    pub(crate) names: Names,
    pub(crate) stubs: Vec<StubMethod>,
    /// What the user named inside our attributes, which is in use whatever is wrong elsewhere.
    pub(crate) mentioned: Vec<ExprPath>,
    /// Whether the user wrote a function `stub`, which is a mistake.
    pub(crate) stub_is_taken: bool,
    /// Whether another block of the type makes everything already, except for the methods.
    pub(crate) only_methods: bool,
}

/// The names of a service and of what is made for it.
pub(crate) struct Names {
    /// The type as the impl block names it.
    pub(crate) self_type: Type,
    /// The last segment of that type.
    pub(crate) ident: Ident,
    pub(crate) stub: Ident,
    pub(crate) api: Ident,
    pub(crate) vis: Visibility,
    /// The path of the runtime crate.
    pub(crate) krate: Path,
    /// The `#[cfg]`s of the block; they hold for everything that is made from it.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) params: Params,
}

/// The type parameters of a service, without `Self`; nothing at all unless it is generic.
#[derive(Default)]
pub(crate) struct Params {
    /// `<T: Store>`
    pub(crate) declared: TokenStream,
    /// `<T>`
    pub(crate) passed: TokenStream,
    /// `where ..`, with what the service itself must be.
    pub(crate) bounds: TokenStream,
    /// There are lifetimes among them, which is a mistake.
    pub(crate) borrow: bool,
}

impl Params {
    /// Whether the service is generic.
    pub(crate) fn is_generic(&self) -> bool {
        !self.declared.is_empty()
    }
}

/// The methods that run at moments of a service's life. Where there are several for one moment, `#[cfg]` chooses.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) on_start: Vec<Hook>,
    pub(crate) on_message: Vec<Hook>,
    pub(crate) on_shutdown: Vec<Hook>,
}

impl Hooks {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.on_start.is_empty() && self.on_message.is_empty() && self.on_shutdown.is_empty()
    }
}

/// One of them.
pub(crate) struct Hook {
    pub(crate) ident: Ident,
    /// Where it is not there at all.
    pub(crate) cfgs: Vec<Attribute>,
    /// Who may cause it; only messages have somebody who does.
    pub(crate) policies: Vec<Expr>,
    /// Where the type stands of what it takes beside `&self`.
    pub(crate) takes: Option<Span>,
    /// It returns a `Result`.
    pub(crate) is_fallible: bool,
    /// Where an error that cannot be told is reported.
    pub(crate) error_place: Span,
}

/// One method as its callers see it.
pub(crate) struct StubMethod {
    pub(crate) ident: Ident,
    pub(crate) docs: Vec<Attribute>,
    /// What else holds for the stub as well: `deprecated`, `must_use`, lints that are allowed.
    pub(crate) carried: Vec<Attribute>,
    pub(crate) cfgs: Vec<Attribute>,
    /// Empty, except in a sketch.
    pub(crate) generics: Generics,
    pub(crate) arguments: Vec<StubArgument>,
    /// The `T` of `Call<T>`.
    pub(crate) answer: Answer,
    pub(crate) no_reply: bool,
}

/// One argument as a caller passes it.
pub(crate) struct StubArgument {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
}

/// What `#[service(..)]` says about the service itself.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) invoker: Option<Given<Invoker>>,
    pub(crate) activate: Option<Given<Activation>>,
    /// The types that a generic service is there for.
    pub(crate) types: Option<Given<Vec<Type>>>,
}

/// The value of an option and where its keyword stands.
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) keyword: Span,
}

/// How an invoker is made.
pub(crate) enum Invoker {
    /// By `Default` of this type.
    Type(Path),
    /// By this expression.
    Expr(Expr),
}

/// How a service is made when the first call asks for it.
pub(crate) enum Activation {
    /// By its `Default`.
    Default,
    /// By this function of the service's scope.
    Function(Expr),
}

/// One exposed method.
pub(crate) struct Method {
    /// Its name, docs and signature.
    pub(crate) stub: StubMethod,
    /// Its name in a call: the identifier without `r#`.
    pub(crate) wire_name: String,
    pub(crate) docs: String,
    /// Never empty; every one must agree.
    pub(crate) policies: Vec<Expr>,
    pub(crate) invoker: Option<Invoker>,
    /// In the order of the signature.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) result: ResultShape,
    /// The answer is inside of an `Uncached`.
    pub(crate) is_uncached: bool,
    /// Where `#[no_reply]` stands.
    pub(crate) no_reply: Option<Span>,
    /// Where the type of its errors stands, as far as the return type shows it.
    pub(crate) error_place: Span,
    /// The type of its errors as it is written, or the alias that hides it.
    pub(crate) error: Option<String>,
    /// The return type names a type parameter, so what the errors are is known only when it runs.
    pub(crate) error_is_generic: bool,
}

impl Method {
    /// The parameters that come from the caller, in order.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Argument(argument) => Some(&**argument),
            Parameter::Injected(_) => None,
        })
    }
}

/// One parameter after `&self`.
pub(crate) enum Parameter {
    Argument(Box<Argument>),
    Injected(Box<Provided>),
}

/// A parameter that the dispatcher itself provides.
pub(crate) struct Provided {
    pub(crate) what: Injected,
    /// Where its type stands.
    pub(crate) place: Span,
    /// Its type behind the `&`, if only the compiler knows whether it is the runtime's.
    pub(crate) guessed: Option<Type>,
}

/// A parameter that comes from the caller.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    /// The name by which it travels: that of the option `rename`, or the identifier without `r#`.
    pub(crate) wire_name: String,
    /// Its type, without `Self`.
    pub(crate) ty: Type,
    pub(crate) form: Form,
    /// Its type names a type parameter of the service.
    pub(crate) is_generic: bool,
    /// It is an `Option`; checks see what is inside, if anything is.
    pub(crate) is_option: bool,
    pub(crate) presence: Presence,
    pub(crate) checks: Vec<Expr>,
}

/// How a value travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// An owned value, through serde.
    Value,
    /// `&str`.
    Str,
    /// `&[u8]`.
    Bytes,
    /// `PathBuf`.
    PathBuf,
    /// `&Path`.
    Path,
}

impl Form {
    /// Whether the parameter is a reference already.
    pub(crate) fn is_borrowed(self) -> bool {
        matches!(self, Self::Str | Self::Bytes | Self::Path)
    }
}

/// What happens when the caller leaves an argument out.
pub(crate) enum Presence {
    /// The call is refused.
    Required,
    /// It is an `Option` and becomes `None`.
    Optional,
    /// It becomes the `Default` of its type.
    Default,
    /// It becomes the value of this expression.
    DefaultExpr(Expr),
}

/// What the dispatcher provides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Injected {
    Caller,
    Router,
    /// A `Reply` of the type in [`StubMethod::answer`].
    Reply,
}

/// How what a method gives back becomes an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResultShape {
    /// The value itself is the answer.
    Plain,
    /// `Ok` is the answer, `Err` becomes a call error.
    Fallible,
    /// The answer comes later, through `Reply<T>`.
    Deferred,
    /// There is no answer.
    Nothing,
}

/// What a caller gets.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) ty: Type,
    pub(crate) form: Form,
    /// Its type names a type parameter of the service.
    pub(crate) is_generic: bool,
}

/// A checked `#[service]` struct or enum.
pub(crate) struct ServiceType {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) options: Options,
}

/// A checked `#[function]`.
pub(crate) struct Function {
    pub(crate) krate: Path,
    /// `#[cfg]`s, docs and the like, which stay on what has the function's name.
    pub(crate) outer: Vec<Attribute>,
    /// The user's function, with all other attributes.
    pub(crate) item: syn::ItemFn,
    /// How it is called from elsewhere.
    pub(crate) method: Method,
}

/// A checked `#[main]` function.
pub(crate) struct Main {
    pub(crate) krate: Path,
    /// The expression that builds the router, if it is not the usual one.
    pub(crate) router: Option<Expr>,
    pub(crate) takes_router: bool,
    /// Whether nobody else turns the `async fn` into a plain one.
    pub(crate) needs_block_on: bool,
    /// `#[cfg]`s and docs, which stay on the outer function.
    pub(crate) outer: Vec<Attribute>,
    /// The user's function, with all other attributes.
    pub(crate) function: syn::ItemFn,
}
