//! Every sentence the macros can answer with.
//!
//! They stand together so that they speak with one voice: lower case, no full stop, first what is
//! wrong and then what to write instead, with the user's own names in backticks.

use quote::ToTokens;

use crate::print::tokens;
use crate::suggest::nearest;

/// Words in backticks, separated by commas.
fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The end of a sentence about a word nobody knows.
fn known_instead(typed: &str, kind: &str, known: &[&str]) -> String {
    let list = match known {
        [] => format!("there are no {kind}s"),
        [one] => format!("the only {kind} is `{one}`"),
        _ => format!("the {kind}s are {}", listed(known)),
    };
    match nearest(typed, known) {
        Some(meant) => format!("did you mean `{meant}`? {list}"),
        None => list,
    }
}

// Options.

pub(crate) fn unknown_option(typed: &str, attribute: &str, known: &[&str]) -> String {
    let rest = known_instead(typed, "known option", known);
    format!("unknown option `{typed}` of `#[{attribute}]`; {rest}")
}

pub(crate) fn option_is_an_attribute(typed: &str, attribute: &str) -> String {
    format!("`{typed}` is no option of `#[{attribute}]`, but an attribute: write `#[{typed}]` by itself")
}

pub(crate) const POLICY_OF_SERVICE: &str =
    "each method has its own policy: write `#[expose(policy = ..)]` above those that others may call";

pub(crate) fn option_without_value(option: &str, example: &str) -> String {
    format!("`{option}` needs a value: write `{option} = {example}`")
}

pub(crate) fn option_twice(option: &str) -> String {
    format!("`{option}` is given twice; write it once")
}

pub(crate) fn option_on_both(option: &str) -> String {
    format!("`{option}` is given on the type as well as on the impl block; write it once")
}

pub(crate) fn option_of_impl(option: &str) -> String {
    let others = if option == "crate" { ", and `invoker` and `activate` with it" } else { "" };
    format!("`{option}` stands on the impl block: move it to the `#[service(..)]` there{others}")
}

pub(crate) const PATH_IN_QUOTES: &str = "`crate` takes a path without quotes: write `crate = some::path`";
pub(crate) const NAME_IS_TEXT: &str = "`name` takes a string literal: write `name = \"some.name\"`";
pub(crate) const NO_VISIBILITY: &str = "`vis` takes a visibility: write `vis = pub(crate)`, or another one";

pub(crate) fn bare_name(name: &str) -> String {
    format!("a name needs its keyword: write `name = {name}`")
}

pub(crate) const NAME_IS_EMPTY: &str =
    "a service needs a name that is not empty: write one, or leave `name` out to use its path";
pub(crate) const NO_COMMA: &str = "options are separated by commas: write `,` here";
pub(crate) const NO_EQUALS: &str = "the value of an option stands behind an equals sign: write `option = value`";
pub(crate) const OPTION_EXPECTED: &str = "an option is expected here: write `option = value`";

pub(crate) fn invoker_is_a_function(typed: &str) -> String {
    format!("`invoker` takes a type that is `Default`, or an expression: write `invoker = {typed}()` to call this")
}

pub(crate) const ACTIVATE_PARAMETERS: &str = "a service is made from its scope: write `|scope| ..`";

// Where an attribute stands.

pub(crate) const WRONG_ITEM: &str = "`#[service]` stands on an inherent impl block, \
     or, to carry options, on a struct or enum: write it above `impl YourService { .. }`";

pub(crate) const UNREAD_SERVICE: &str = "`#[service]` cannot read this block: \
     write it in the Rust of a stable compiler, or move what is new into another impl block";

pub(crate) const TRAIT_IMPL: &str = "`#[service]` does not work on the impl of a trait: \
     expose methods of an inherent block, `impl YourService { .. }`, and call the trait from there";

pub(crate) const BORROWING_SERVICE: &str = "a service lives as long as its pool, so it cannot borrow: \
     let its type own what it needs, or share it in an `Arc`";

pub(crate) fn unused_parameter(name: &str) -> String {
    format!("`{name}` stands nowhere in the type of the service, so nobody can say what it is: remove it")
}

pub(crate) const GENERIC_ACTIVATION: &str = "a generic service can only be made for types that are named here: \
     add `types = [YourService<SomeType>]`";

pub(crate) const GENERIC_ACTIVATION_ON_TYPE: &str = "a generic service can only be made for types that are named: \
     move `activate` to the `#[service(..)]` of the impl block, and add `types = [YourService<SomeType>]`";

pub(crate) const NAME_WITH_TYPES: &str =
    "the `name` of a service for several `types` stands beside them: move it here from the type";

pub(crate) const TYPES_IN_BRACKETS: &str =
    "`types` takes a list in brackets that is not empty: write `types = [YourService<SomeType>]`";

pub(crate) const TYPES_WITHOUT_PARAMETERS: &str =
    "`types` is for a generic service, and this one has no parameters: remove it";

pub(crate) fn type_twice(ty: &impl ToTokens) -> String {
    format!("`{}` stands in `types` already: remove it", tokens(ty))
}

pub(crate) fn not_of_this_service(service: &str) -> String {
    format!("`types` are those of this service: write `{service}<..>` with types in place of its parameters")
}

pub(crate) const NOTHING_EXPOSED: &str = "there is nothing to call here: \
     write methods with `#[expose(policy = ..)]` above those that others may call";

pub(crate) fn another_block(service: &str, line: usize) -> String {
    format!(
        "`{service}` has a `#[service]` block already, in line {line}, and a service has one: \
         write all methods that others may call in there"
    )
}

pub(crate) const UNNAMED_SERVICE: &str =
    "a service needs a type with a name: write `impl YourService { .. }` for a struct or enum";

pub(crate) fn outside_service(attribute: &str) -> String {
    format!(
        "`#[{attribute}]` only has a meaning inside an impl block marked `#[service]`: \
         write `#[mitogen_service::service]` above the `impl` this method belongs to"
    )
}

pub(crate) fn not_on_a_method(attribute: &str) -> String {
    format!("`#[{attribute}]` stands on a method: move it to an `fn` of this block, or remove it")
}

pub(crate) fn not_exposed(attribute: &str) -> String {
    format!(
        "`#[{attribute}]` does nothing on a method that is not exposed: \
         add `#[expose(policy = ..)]`, or remove it"
    )
}

pub(crate) fn misspelt_attribute(typed: &str, meant: &str) -> String {
    format!("unknown attribute `#[{typed}]`; did you mean `#[{meant}]`?")
}

pub(crate) fn conditional_attribute(attribute: &str) -> String {
    format!(
        "`#[{attribute}]` cannot depend on `cfg_attr`, since both ends of a call must agree: \
         write it by itself, with a `#[cfg(..)]` on the whole `fn` if need be"
    )
}

pub(crate) fn takes_no_options(attribute: &str) -> String {
    format!("`#[{attribute}]` takes no options: write `#[{attribute}]`")
}

pub(crate) const POLICY_OF_NO_REPLY: &str =
    "`#[no_reply]` takes no options: write `#[expose(policy = ..)]` and, beside it, `#[no_reply]`";

pub(crate) fn attribute_twice(attribute: &str) -> String {
    format!("`#[{attribute}]` is given twice; write it once")
}

// Hooks.

pub(crate) const EXPOSED_HOOK: &str = "a method that runs by itself at a moment of the service's life cannot be called as well: write another method that calls it";

pub(crate) const ON_MESSAGE_POLICY: &str = "nothing says whose messages are taken: \
     write `#[on_message(policy = AllowParents)]`, or another policy";

pub(crate) fn two_hooks(attribute: &str) -> String {
    format!(
        "a method has one of `#[on_start]`, `#[on_message]` and `#[on_shutdown]`: write another method for `#[{attribute}]`"
    )
}

pub(crate) fn hook_twice(attribute: &str) -> String {
    format!("a service has one method for `#[{attribute}]`: let that one call the other")
}

pub(crate) fn hook_signature(attribute: &str) -> String {
    let form = match attribute {
        "on_start" => "fn start(&self, scope: &ServiceScope) -> Result<(), E>",
        "on_message" => "fn message(&self, event: Event)",
        _ => "fn shutdown(&self)",
    };
    format!("a method marked `#[{attribute}]` is called by the pool: write it as `{form}`")
}

// Methods.

pub(crate) fn no_policy(method: &str) -> String {
    format!(
        "nothing says who may call `{method}`: \
         write `#[expose(policy = AllowParents)]`, or another policy"
    )
}

pub(crate) fn bare_policy(typed: &str) -> String {
    format!("a policy needs its keyword: write `policy = {typed}`")
}

pub(crate) fn any_of(policies: &str) -> String {
    let comma = if policies.contains(',') { "" } else { "," };
    format!("`AnyOf` takes a tuple of policies: write `AnyOf(({policies}{comma}))`")
}

fn all_of(policies: &[String]) -> String {
    let each: Vec<_> = policies.iter().map(|policy| format!("policy = {policy}")).collect();
    format!("`{}`", each.join(", "))
}

pub(crate) fn policies_in_a_list(policies: &[String]) -> String {
    match policies {
        [] => "nobody is named here: write `policy = AllowParents`, or another policy".to_owned(),
        [one] => format!("a policy stands here by itself: write `policy = {one}`"),
        all => format!(
            "policies are not listed: write {} where all must agree, `policy = AnyOf(({}))` where one is enough",
            all_of(all),
            all.join(", ")
        ),
    }
}

pub(crate) fn policies_with_and(policies: &[String]) -> String {
    format!("where several policies must agree, each has its keyword: write {}", all_of(policies))
}

pub(crate) fn policies_with_or(policies: &[String]) -> String {
    format!("where one of several policies is enough, write `policy = AnyOf(({}))`", policies.join(", "))
}

pub(crate) fn called_policy(path: &str) -> String {
    format!("the runtime asks a policy for each call, so it is named here and not called: write `policy = {path}`")
}

pub(crate) fn negated_policy(typed: &str) -> String {
    format!(
        "`{typed}` cannot be turned round: write a function that says who may call, \
         `fn may_call(&self, caller: &Caller) -> bool`, and `policy = Self::may_call`"
    )
}

pub(crate) const CLOSURE_PARAMETERS: &str =
    "a policy is asked with the service and its caller: write `|service, caller| ..`";

pub(crate) fn closure_by_value(ty: &str) -> String {
    format!("a policy is asked with the service and its caller by reference: write `&{ty}` here")
}

pub(crate) const CLOSURE_ASYNC: &str = "a policy answers at once: write the closure without `async`";

pub(crate) const CLOSURE_RESULT: &str = "a policy says yes or no: write `bool` here";

pub(crate) fn receiver(method: &str, what: &str) -> String {
    format!("`{method}` {what}; write `fn {method}(&self, ..)`")
}

pub(crate) const BY_VALUE: &str = "takes the service away, which calls still need";
pub(crate) const EXCLUSIVE: &str =
    "wants the service for itself, but calls share it (state that changes goes into a `Mutex`)";
pub(crate) const TYPED_RECEIVER: &str = "is exposed and so takes the service as plain `&self`";
pub(crate) const NO_RECEIVER: &str = "is exposed, but takes no service to be called on";

pub(crate) fn generic_method(method: &str) -> String {
    format!(
        "`{method}` is generic, but a caller in another process cannot choose its types: \
         write concrete types"
    )
}

pub(crate) fn lifetime_method(method: &str) -> String {
    format!(
        "`{method}` names lifetimes, but arguments only live as long as the call: \
         leave the lifetimes out"
    )
}

pub(crate) fn async_method(method: &str) -> String {
    format!(
        "`{method}` is async, but methods run on the threads of a pool: \
         write a plain `fn`, or take a `Reply<T>` to answer later"
    )
}

pub(crate) fn variadic_method(method: &str) -> String {
    format!(
        "`{method}` takes any number of arguments, but arguments travel by their names: \
         write each of them, or take a `Vec<T>`"
    )
}

pub(crate) fn unsafe_method(method: &str) -> String {
    format!(
        "`{method}` is unsafe, but a caller in another process can promise nothing: \
         write a safe `fn` that checks what must hold"
    )
}

pub(crate) fn stub_is_taken() -> String {
    "`stub` is the function that `#[service]` adds to the type: give this one another name".to_owned()
}

pub(crate) fn reserved_method(method: &str) -> String {
    format!("`{method}` is a method that every stub has: give this one another name")
}

pub(crate) fn same_wire_name(method: &str) -> String {
    format!("the service already exposes a method called `{method}`: give one another name")
}

// Parameters.

pub(crate) const PATTERN: &str = "an argument travels by its name: write `name: Type` and take it apart in the body";

pub(crate) const CFG_ON_PARAMETER: &str = "a parameter cannot depend on `cfg`, \
     since both ends of a call must agree: write the `cfg` on the whole `fn`";

pub(crate) const IMPL_ARGUMENT: &str = "an argument needs a concrete type, because the callee \
     must know what to decode: write the type instead of `impl Trait`";

pub(crate) fn borrow(instead: &str) -> String {
    format!("only `&str`, `&[u8]` and `&Path` can be borrowed from a message: write `{instead}` here")
}

pub(crate) fn unsized_argument(ty: &impl ToTokens, borrowed: &str, owned: &str) -> String {
    format!("`{}` has no size of its own: write `{borrowed}` or `{owned}`", tokens(ty))
}

pub(crate) fn unsized_value(ty: &impl ToTokens, owned: &str) -> String {
    format!("`{}` has no size of its own: write `{owned}`", tokens(ty))
}

pub(crate) fn path_argument(owned: &str) -> String {
    format!("`Path` has no size of its own: write `&Path` or `{owned}` (or `self::Path` for a type of yours)")
}

pub(crate) fn path_result(owned: &str) -> String {
    format!("`Path` has no size of its own: write `{owned}` (or `self::Path` for a type of yours)")
}

pub(crate) const FUNCTION_VALUE: &str = "a function cannot leave its process: \
     write a type with what it would work on, or a `Sender<T>` through which to hear of it";

pub(crate) const TRAIT_OBJECT: &str = "the type behind a `dyn Trait` is not known in another process: \
     write a concrete type, such as an enum of what it may be";

pub(crate) const SCOPE_ARGUMENT: &str = "`ServiceScope` is handed to the method marked `#[on_start]`: \
     keep a clone of it in the service";

pub(crate) const MUTABLE_BORROW: &str = "an argument is a copy that the caller never sees again: \
     take the value itself and return what changed";

pub(crate) const INNER_BORROW: &str = "a borrow inside another type cannot be decoded: \
     write the owned type, such as `String` for `&str` (`Option<&str>` may stay)";

pub(crate) const NESTED_OPTION: &str = "what is missing travels as nothing, so `Some(None)` would arrive as `None`: \
     write an enum, or one `Option`";

pub(crate) const OPTION_OF_NOTHING: &str = "what is missing travels as nothing, so `Some(())` would arrive as `None`: \
     write `bool`";

pub(crate) const NAMED_LIFETIME: &str = "an argument only lives as long as the call: leave the lifetime out";

pub(crate) fn handed_by_reference(name: &str) -> String {
    format!("`{name}` is handed to a method by reference: write `&{name}`")
}

pub(crate) fn handed_by_value(name: &str) -> String {
    format!("`{name}<T>` is handed to a method by value: write `{name}<T>` without `&`")
}

pub(crate) fn injected_twice(name: &str) -> String {
    format!("there is only one `{name}` in a call: remove the second one")
}

pub(crate) fn attribute_on_injected(name: &str) -> String {
    format!("`#[arg]` stands on arguments, but `{name}` does not come from the caller: remove it")
}

pub(crate) const OPTION_DEFAULT: &str = "an `Option` that is left out is `None` already: \
     remove `#[arg(default)]`, or take the type without `Option`";

pub(crate) const DOCS_ON_PARAMETER: &str = "an argument has no docs of its own: write them above the `fn`";

pub(crate) fn not_for_arguments(typed: &str) -> String {
    format!(
        "`#[{typed}]` has no meaning on an argument: \
         write `#[arg(default)]`, `#[arg(default = ..)]` or `#[arg(rename = \"..\")]`"
    )
}

pub(crate) const EMPTY_ARG: &str = "`#[arg]` without an option does nothing: \
     write `#[arg(default)]`, `#[arg(default = ..)]` or `#[arg(rename = \"..\")]`";

pub(crate) const ARG_ON_A_METHOD: &str = "`#[arg]` stands on a parameter of an exposed method: \
     write it in front of the parameter, `fn read(&self, #[arg(default)] size: u32)`";

pub(crate) const ARG_VALUE: &str =
    "`#[arg]` takes its options in parentheses: write `#[arg(default = ..)]` or `#[arg(rename = \"..\")]`";

pub(crate) const RENAME_IS_TEXT: &str = "`rename` takes a string literal: write `rename = \"some_name\"`";
pub(crate) const RENAME_IS_EMPTY: &str =
    "an argument travels by its name: write one that is not empty, or leave `rename` out";

pub(crate) fn same_argument_name(name: &str) -> String {
    format!("another argument travels as `{name}` already: give one of them another name")
}

pub(crate) fn unknown_argument(typed: &str, method: &str, known: &[&str]) -> String {
    let rest = known_instead(typed, "argument", known);
    format!("`{method}` has no argument `{typed}`; {rest}")
}

pub(crate) fn bare_check(argument: &str, typed: &str) -> String {
    format!("a check needs its keyword: write `{argument}(check = {typed})`")
}

pub(crate) const CHECK_OF_NOTHING: &str =
    "the argument that is checked stands around its check: write `some_argument(check = is_valid)`";

pub(crate) const CHECK_PARAMETERS: &str = "a check is given the value of its argument: write `|value| ..`";

pub(crate) fn check_by_value(ty: &str) -> String {
    format!("a check is given the value by reference: write `&{ty}` here")
}

pub(crate) fn no_check(argument: &str) -> String {
    format!("`{argument}` needs a check: write `{argument}(check = is_valid)`")
}

// Results.

pub(crate) fn no_reply_result(method: &str) -> String {
    format!(
        "`{method}` is `#[no_reply]`, so nobody gets its result: \
         remove the result, or remove `#[no_reply]`"
    )
}

pub(crate) fn no_reply_reply(method: &str) -> String {
    format!("`{method}` is `#[no_reply]`, so `Reply` has nobody to go to: remove one of the two")
}

pub(crate) fn reply_and_result(method: &str) -> String {
    format!("`{method}` answers through its `Reply<T>`: remove the result")
}

pub(crate) const RESULT_ALIAS: &str = "the macro cannot see through an alias of `Result`: \
     write `Result<T, E>` itself";

pub(crate) const RESULT_WITHOUT_TYPES: &str = "the macro cannot see what this `Result` holds: \
     write `Result<T, E>` with its types";

pub(crate) const NEVER_RESULT: &str = "a caller would wait for the answer of a method that never returns: \
     let it return, with a thread that goes on";

pub(crate) const INFERRED_RESULT: &str =
    "a result needs its type here, because the caller must know what to decode: write the type instead of `_`";

pub(crate) const IMPL_RESULT: &str = "a result needs a concrete type, because the caller must \
     know what to decode: write the type instead of `impl Trait`";

pub(crate) const UNCACHED_RESULT: &str = "`Uncached` stands inside of the `Result`: write `Result<Uncached<T>, E>`";

pub(crate) const BORROWED_RESULT: &str = "a result leaves the process, so it cannot borrow: \
     return an owned value, such as `String` for `&str`";

// Functions.

pub(crate) const NOT_A_FUNCTION: &str = "`#[mitogen_service::function]` stands on a function with a body, \
     outside of any impl block or trait: write it above `fn name(..) { .. }`";

pub(crate) fn function_with_self(function: &str) -> String {
    format!(
        "`{function}` takes `self`, but a caller in another process has nothing to call it on: move it out of the \
         impl block without `self`, or expose it as a method of a `#[service]`"
    )
}

pub(crate) fn not_on_a_function(attribute: &str) -> String {
    format!(
        "`#[{attribute}]` has no meaning on a function, which parents alone may call and which always answers: \
         remove it, or write a method of a `#[service]`"
    )
}

pub(crate) fn async_function(function: &str) -> String {
    format!("`{function}` is async, but functions run on the threads of a pool: write a plain `fn`")
}

pub(crate) fn plain_function(function: &str) -> String {
    format!("`{function}` is called through a function pointer: write a plain `fn`")
}

pub(crate) fn reply_in_function(function: &str) -> String {
    format!("`{function}` can be called here as well, where there is no `Reply`: return the result")
}

pub(crate) const IMPL_ERROR: &str = "the error of a function needs a concrete type, because the function is called \
     through a pointer: write the type instead of `impl Trait`";

pub(crate) fn reserved_function(function: &str) -> String {
    format!(
        "`{function}` is a parameter of functions that `#[service]` makes, which could not be called so any more: \
         give this one another name"
    )
}

pub(crate) fn named_as_the_function(argument: &str) -> String {
    format!(
        "`{argument}` is the name of the function as well, which is a static and cannot be hidden by an argument: \
         give one of them another name"
    )
}

// `main`.

pub(crate) const MAIN_ON_A_FUNCTION: &str =
    "`#[mitogen_service::main]` stands on a function: write it above `fn main(router: &Router)`";

pub(crate) const MAIN_SHAPE: &str =
    "`main` takes nothing or the router: write `fn main()` or `fn main(router: &Router)`";

pub(crate) const MAIN_GENERIC: &str =
    "`main` cannot be generic, since nothing calls it with types: remove the parameters";

pub(crate) const MAIN_SIGNATURE: &str = "`main` is called by the macro: write a plain `fn` or an `async fn`";
