//! The documentation of the attribute macros. It stands here, where its examples run.

/// Makes a service of an `impl` block: its exposed methods can be called from other contexts.
///
/// ```
/// use std::{fs, io, path::PathBuf};
///
/// use mitogen_service::{AllowAny, AllowParents, Blob, Caller, service};
///
/// /// Simple file server.
/// #[derive(Default)]
/// pub struct Files;
///
/// #[service(activate)]
/// impl Files {
///     /// Reads a whole file.
///     #[expose(policy = AllowAny)]
///     fn read_file(&self, path: PathBuf) -> io::Result<Blob> {
///         Ok(fs::read(path)?.into())
///     }
///
///     /// Callers do not wait for this.
///     #[expose(policy = AllowParents)]
///     #[no_reply]
///     fn forget(&self, path: &str, caller: &Caller) {
///         println!("{} wants {path} forgotten", caller.context());
///     }
///
///     /// Nothing can call this from elsewhere.
///     fn not_exposed(&self) {}
/// }
/// ```
///
/// # What is generated
///
/// * the block itself, unchanged but for our attributes;
/// * `Files::stub(&context)`, which gives a `FilesStub`. A method of the stub takes the arguments of
///   the method by the types of its signature, sends the call at once and returns a
///   [`Call`](crate::Call); one of a `#[no_reply]` method returns `Result<(), CallError>` as soon as
///   the message is queued. `stub.with_timeout(time)` is the same stub, whose calls are given up after that
///   time; `stub.no_wait()` one whose calls fail with `Overloaded` where they would wait for room in this
///   process; `stub.on_behalf_of(&caller)` one that calls with the authority of somebody who has called us;
/// * `trait FilesApi`, with all methods as `fn(&self, ..) -> Result<T, CallError>`, and
///   `FilesStub::faked(impl FilesApi)`: the same stub type over a double, for tests;
/// * an implementation of [`Service`](crate::Service), with the descriptor and the dispatch table.
///
/// A type has one such block. Of a second one beside it the macro tells; that one in another module is on the same type
/// only the compiler knows, which then finds `Service` and `stub` twice. The names `FilesStub` and `FilesApi` belong to
/// the service: of a type of yours that has one of them the compiler says so first, and then what that type lacks.
///
/// Docs, `#[deprecated]`, `#[must_use]` and `#[allow(..)]` of a method hold for the stub as well, and a `#[cfg(..)]` for
/// all that is made of the method. Our own attributes cannot stand inside of `cfg_attr`.
///
/// # Options
///
/// | option | meaning |
/// | --- | --- |
/// | `name = "files"` | the name that callers ask for; by default the path of the type, `my_crate::files::Files` |
/// | `activate` | a context makes the service by itself, by `Default`, when a parent first calls it |
/// | `activate = Self::create` | the same by a function `fn(&ServiceScope) -> Result<Self, E>` |
/// | `invoker = EXPR` | how calls are run: an [`Invoker`](crate::Invoker) that is `Default`, or an expression that gives one |
/// | `types = [Cache<u8>, ..]` | the types that a generic service is there for; see below |
/// | `vis = pub(crate)` | the visibility of stub and trait, `pub` by default |
/// | `crate = path` | where this crate is found, if it is renamed or re-exported; without it, the compiler does not find `mitogen_service` |
///
/// `name`, `invoker` and `activate` may stand on the struct instead: `#[service(name = "files")] struct Files;`.
/// Only [`DeduplicatingInvoker`](crate::DeduplicatingInvoker) may not, which needs to see the methods. With another
/// name or path of this crate, `invoker` and `activate` stand on the block, beside `crate`.
///
/// # Methods
///
/// A method takes `&self`, since a service is shared by all threads of the pool. Others can call those that are
/// marked `#[expose(policy = ..)]`, and nothing else of the block.
///
/// *Policies* say who may call; a method that is exposed without one does not compile. Any expression that gives a
/// [`Policy`](crate::Policy) will do: [`AllowAny`](crate::AllowAny), [`AllowParents`](crate::AllowParents),
/// [`AllowSelf`](crate::AllowSelf), a function or a closure of the service and the caller,
/// `policy = Self::is_admin` or `policy = |service, caller| ..`, or a type of your own. Several policies must all agree,
/// `#[expose(policy = AllowParents, policy = Self::is_open)]`; of those in [`AnyOf((..))`](crate::AnyOf) one is enough.
///
/// *Arguments* travel by name. They are owned types that serde can read and write, or `&str`, `&[u8]`
/// and `&Path`, which are not copied. An `Option<T>` may be left out by the caller, and so may
/// `#[arg(default)]` and `#[arg(default = EXPR)]`; `#[arg(rename = "type")]` lets it travel by another name
/// than that of the parameter. An `Option<Option<T>>` and an `Option<()>` are refused, since what is missing travels
/// as nothing; where an alias or a field hides one, a `Some` of nothing fails with
/// [`CallError::Encode`](crate::CallError::Encode) when it is to be sent, and so does a `SystemTime` before 1970, which
/// serde does not write.
/// Behind an alias only the compiler sees the type: where `type Name = str;` has no size, it says so at each place that
/// would hold the value.
/// `#[arg_spec(size(check = is_sane))]` adds a check:
/// `fn(&T) -> bool` or `fn(&T) -> Result<(), impl Display>`; the check of an `Option<T>` sees the `T`,
/// and is not asked about `None`.
///
/// *Parameters of the types `&Caller`, `&Router` and `Reply<T>`* are not arguments: the dispatcher fills them in.
/// They may be written with a path, `mitogen_service::Reply<T>` or one that begins as the option `crate` says. A
/// `Reply<T>` with another path is an argument, whose type is somebody else's; a `&Caller` or `&Router` with another
/// path is this crate's, which the compiler checks, since no other could be borrowed from a message.
///
/// *Results* are types that serde can read and write, or `Result<T, E>` where `E: Display`; the
/// caller gets the error as [`CallError::Failed`](crate::CallError::Failed), and typed by
/// [`CallError::decode`](crate::CallError::decode) if `E` is `Serialize + DeserializeOwned`. An alias of
/// `Result` is refused unless it is itself called `Result`. In a generic service the bounds of `E` say what
/// it can do, except that a `CallError` stays one. An [`Uncached<T>`](crate::Uncached) is a `T` for
/// callers.
///
/// ```
/// use mitogen_service::{AllowAny, CallError, Reply, service, testing};
///
/// fn is_sane(size: &usize) -> Result<(), String> {
///     if *size < 100 { Ok(()) } else { Err(format!("{size} is too much")) }
/// }
///
/// #[derive(Default)]
/// struct Store;
///
/// #[service(activate)]
/// impl Store {
///     #[expose(policy = AllowAny)]
///     #[arg_spec(size(check = is_sane))]
///     fn fill(&self, size: usize, #[arg(default = b'.')] with: u8, title: Option<String>) -> String {
///         title.unwrap_or_default() + &char::from(with).to_string().repeat(size)
///     }
///
///     #[expose(policy = AllowAny)]
///     fn later(&self, reply: Reply<u32>) {
///         std::thread::spawn(move || reply.send(Ok(7)));
///     }
/// }
///
/// let (parent, _child) = testing::pair();
/// let store = Store::stub(&parent.children()[0]);
/// assert_eq!(store.fill(3, b'x', Some("a".into())).wait()?, "axxx");
/// assert_eq!(store.later().wait()?, 7);
/// let refused = store.fill(500, b'x', None).wait().unwrap_err();
/// assert_eq!(refused.to_string(), "Argument 'size' refused: 500 is too much");
/// # Ok::<(), CallError>(())
/// ```
///
/// # Generic services
///
/// The block may have type and constant parameters, and its stub has the same: `CacheStub<T>`. All types of
/// the service have one name then, so a pool takes one of them. With `types = [..]` those that are listed
/// there, and no others, are services, each with a name of its own, and they may be activated:
///
/// ```
/// use mitogen_service::{AllowAny, Service, service, testing};
///
/// trait Unit: Default + Send + Sync + 'static {
///     const NAME: &'static str;
/// }
///
/// #[derive(Default)]
/// struct Celsius;
///
/// impl Unit for Celsius {
///     const NAME: &'static str = "degrees";
/// }
///
/// #[derive(Default)]
/// struct Meter<U>(U);
///
/// #[service(name = "meter", activate, types = [Meter<Celsius>])]
/// impl<U: Unit> Meter<U> {
///     #[expose(policy = AllowAny)]
///     fn unit(&self) -> String {
///         U::NAME.to_owned()
///     }
/// }
///
/// let (parent, _child) = testing::pair();
/// assert_eq!(Meter::<Celsius>::stub(&parent.children()[0]).unit().wait()?, "degrees");
/// assert_eq!(Meter::<Celsius>::DESCRIPTOR.name, "meter<Celsius>");
/// # Ok::<(), mitogen_service::CallError>(())
/// ```
///
/// A service lives as long as its pool, so it cannot have lifetimes.
///
/// # Life
///
/// Methods that are not exposed can be run by the pool at moments of the service's life: one marked
/// [`#[on_start]`](macro@on_start) before the first call, one marked [`#[on_message(..)]`](macro@on_message) for
/// what arrives at the service's select, and one marked [`#[on_shutdown]`](macro@on_shutdown) when the pool ends.
///
/// # Names
///
/// Without `name` a service is called by the path of its type, after the module that the block stands in:
/// `my_crate::files::Files`. In the body of a function two types of a module may have one name; there the line
/// and the column of the attribute are part of it, `my_crate::files::{12:5}::Files`.
///
/// # Mistakes
///
/// A mistake is an error at compile time that says what to write instead:
///
/// ```compile_fail
/// # use mitogen_service::service;
/// # struct Files;
/// #[service]
/// impl Files {
///     #[expose] // error: nothing says who may call `read`
///     fn read(&self) {}
/// }
/// ```
pub use mitogen_service_derive::service;

/// Makes a function the `main` of a program whose children never enter it.
///
/// The function takes `&Router`, the root's router, or nothing, and returns whatever `main` may. When
/// it returns, the contexts below are given a second to end in good order. An error that it returns is
/// printed as a text.
///
/// ```no_run
/// use mitogen_service::Router;
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let child = router.local().name("worker").connect()?;
///     println!("{child} is connected");
///     Ok(())
/// }
/// ```
///
/// An `async fn` works as well. A runtime's own attribute goes below ours, so that the children never
/// start it; without one, the future runs on the main thread.
///
/// | option | meaning |
/// | --- | --- |
/// | `router = EXPR` | a [`RouterBuilder`](crate::RouterBuilder) to use in place of `Router::builder()` |
/// | `crate = path` | where this crate is found, if it is renamed or re-exported |
pub use mitogen_service_derive::main;

/// Lets other contexts call a function, by [`Context::call`](crate::Context::call).
///
/// ```
/// use std::path::PathBuf;
///
/// use mitogen_service::{CallError, Context, Router, function, testing};
///
/// /// Counts the bytes of files.
/// #[function]
/// fn count_bytes(paths: Vec<PathBuf>) -> std::io::Result<u64> {
///     paths.iter().map(|path| Ok(std::fs::metadata(path)?.len())).sum()
/// }
///
/// #[function]
/// fn greet(name: &str, router: &Router) -> String {
///     format!("hello {name}, this is {}", router.myself())
/// }
///
/// let (parent, _child) = testing::pair();
/// let child: &Context = &parent.children()[0];
/// // One argument is passed as it is, two and more as a tuple, none as `()`.
/// let size = child.call(count_bytes, vec!["/etc/passwd".into()]).wait()?;
/// // A call without a context runs the function here.
/// assert_eq!(size, count_bytes(vec!["/etc/passwd".into()]).unwrap());
/// assert!(child.call(greet, "root").wait()?.starts_with("hello root"));
/// # Ok::<(), CallError>(())
/// ```
///
/// *Who may call*: only parents of the context, near or far, and the context itself, as with
/// [`AllowParents`](crate::AllowParents). What others may call is a method of a [`service`](macro@service).
///
/// *Arguments and results* follow the rules of exposed methods: owned types, `&str`, `&[u8]` and `&Path`;
/// `Result<T, E>` gives the caller `T`, or the error as [`CallError::Failed`](crate::CallError::Failed).
/// `&Router` and `&Caller` are filled in by the context that runs the function. There is no `Reply<T>`.
///
/// *Where*: in a module or in the body of a function, but not in an `impl` block or a trait.
///
/// # What is generated
///
/// A static of the function's name and visibility, of the type [`Function`](crate::Function), with the
/// function inside; it derefs to a plain function pointer. So `count_bytes(..)` still calls the function,
/// and where a closure is expected you write `*count_bytes`. Like any static, and other than a function, its
/// name cannot be that of a local variable wherever it is in scope: `let count_bytes = ..` is refused by the
/// compiler.
///
/// The function is known to other contexts by its path, `my_crate::files::count_bytes`. Two of the same
/// path can be written only inside the bodies of functions; then [`PoolBuilder::start`](crate::PoolBuilder::start)
/// fails and names the path.
///
/// | option | meaning |
/// | --- | --- |
/// | `crate = path` | where this crate is found, if it is renamed or re-exported |
///
/// Only marked functions can be passed:
///
/// ```compile_fail
/// # use mitogen_service::Context;
/// fn plain() {}
///
/// fn try_it(child: &Context) {
///     child.call(plain, ()); // error: mark the function with `#[mitogen_service::function]`
/// }
/// ```
pub use mitogen_service_derive::function;

/// Exposes a method of a [`service`](macro@service), so that other contexts can call it.
///
/// | option | meaning |
/// | --- | --- |
/// | `policy = EXPR` | who may call: a [`Policy`](crate::Policy). There must be one; of several, here or in another `#[expose]`, all must agree |
/// | `invoker = EXPR` | how calls of this method are run, in place of the service's own [`Invoker`](crate::Invoker) |
///
/// ```
/// use mitogen_service::{AllowAny, AllowParents, Caller, SerializedInvoker, service};
///
/// struct Door;
///
/// #[service]
/// impl Door {
///     #[expose(policy = AllowAny)]
///     fn is_open(&self) -> bool {
///         true
///     }
///
///     #[expose(policy = AllowParents, policy = Self::by_day, invoker = SerializedInvoker)]
///     fn open(&self) {}
///
///     fn by_day(&self, _caller: &Caller) -> bool {
///         true
///     }
/// }
/// ```
pub use mitogen_service_derive::expose;

/// Marks an exposed method of a [`service`](macro@service) for whose end callers do not wait.
///
/// It returns nothing, and what goes wrong in it is logged. The stub's method returns `Result<(), CallError>` as soon as
/// the message is queued.
///
/// ```
/// use mitogen_service::{AllowParents, service, testing};
///
/// #[derive(Default)]
/// struct Cache;
///
/// #[service(activate)]
/// impl Cache {
///     #[expose(policy = AllowParents)]
///     #[no_reply]
///     fn forget(&self, key: &str) {
///         println!("{key} is forgotten");
///     }
/// }
///
/// let (parent, _child) = testing::pair();
/// Cache::stub(&parent.children()[0]).forget("a")?;
/// # Ok::<(), mitogen_service::CallError>(())
/// ```
pub use mitogen_service_derive::no_reply;

/// Marks the method of a [`service`](macro@service) that runs before its first call:
/// `fn start(&self, scope: &ServiceScope) -> Result<(), E>`, both of which may be left out.
///
/// It runs once: on a thread of the pool when the service is activated, else in [`Pool::add`](crate::Pool::add)
/// or [`PoolBuilder::start`](crate::PoolBuilder::start). While it runs calls wait; after an error or a panic
/// the service is not there, whoever asked for it gets that, and the next call tries again.
///
/// ```
/// use std::sync::OnceLock;
///
/// use mitogen_service::{AllowAny, ServiceScope, service};
///
/// #[derive(Default)]
/// struct Host {
///     name: OnceLock<String>,
/// }
///
/// #[service(activate)]
/// impl Host {
///     #[on_start]
///     fn start(&self, _scope: &ServiceScope) -> std::io::Result<()> {
///         let name = std::fs::read_to_string("/etc/hostname")?;
///         self.name.get_or_init(|| name);
///         Ok(())
///     }
///
///     #[expose(policy = AllowAny)]
///     fn name(&self) -> Option<String> {
///         self.name.get().cloned()
///     }
/// }
/// ```
pub use mitogen_service_derive::on_start;

/// Marks the method of a [`service`](macro@service) that takes what arrives at the service's own select:
/// `#[on_message(policy = AllowAny)] fn message(&self, event: Event)`.
///
/// It runs on a thread of the pool, one event after the other, while calls of the service run beside
/// it. Messages of contexts that a policy refuses are dropped and told to the log; ends and answers are
/// always taken. See [`ServiceScope::select`](crate::ServiceScope::select) for an example.
pub use mitogen_service_derive::on_message;

/// Marks the method of a [`service`](macro@service) that runs when its pool ends: `fn shutdown(&self)`.
///
/// It runs once, after the last thread of the pool has left or the bound of
/// [`Pool::close`](crate::Pool::close) is over, and may take 300 ms beyond that bound. In a child whose parent is gone it has
/// 300 ms; a context that is killed runs nothing.
///
/// ```
/// use mitogen_service::{AllowParents, service};
///
/// struct Journal;
///
/// #[service]
/// impl Journal {
///     #[expose(policy = AllowParents)]
///     fn write(&self, line: &str) {
///         println!("{line}");
///     }
///
///     #[on_shutdown]
///     fn shutdown(&self) {
///         println!("the end");
///     }
/// }
/// ```
pub use mitogen_service_derive::on_shutdown;

/// Adds checks to arguments of an exposed method of a [`service`](macro@service).
///
/// A check is a function or a closure, `fn(&T) -> bool` or `fn(&T) -> Result<(), impl Display>`. It is asked before the
/// method runs, and who passes what it refuses gets [`CallError::ArgInvalid`](crate::CallError::ArgInvalid). That of an
/// `Option<T>` sees the `T`, and is not asked about `None`.
///
/// ```
/// use mitogen_service::{AllowParents, service};
///
/// fn is_sane(size: &u64) -> Result<(), String> {
///     if *size < 1 << 20 { Ok(()) } else { Err(format!("{size} bytes are too many")) }
/// }
///
/// struct Store;
///
/// #[service]
/// impl Store {
///     #[expose(policy = AllowParents)]
///     #[arg_spec(size(check = is_sane), name(check = |name| !name.is_empty()))]
///     fn reserve(&self, name: &str, size: u64) {
///         println!("{size} bytes for {name}");
///     }
/// }
/// ```
pub use mitogen_service_derive::arg_spec;

/// Says how an argument of an exposed method of a [`service`](macro@service) travels. It stands in front of the
/// parameter.
///
/// | option | meaning |
/// | --- | --- |
/// | `default` | callers by name may leave it out, and it is the `Default` of its type then |
/// | `default = EXPR` | the same, with the value of the expression |
/// | `rename = "type"` | it travels by this name, and not by that of the parameter |
///
/// The methods of the stub take every argument; what a caller leaves out who has an older version of the stub, or who
/// calls by [`Context::call_service`](crate::Context::call_service), gets its default.
///
/// ```
/// use mitogen_service::{AllowParents, service};
///
/// struct Store;
///
/// #[service]
/// impl Store {
///     #[expose(policy = AllowParents)]
///     fn put(&self, #[arg(rename = "type")] kind: String, #[arg(default = 3)] copies: u32, #[arg(default)] force: bool) {
///         println!("{copies} of {kind}, {force}");
///     }
/// }
/// ```
pub use mitogen_service_derive::arg;
