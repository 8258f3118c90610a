//! Tests of whole macro calls, token by token where that matters. What the generated code does is
//! tested in the workspace's `tests` package, and so are the texts of mistakes.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{ImplItem, Item, TraitItem, Type};

use crate::{entry, print};

mod expansion;

/// The files service of the documentation, with one method of every kind.
fn files() -> TokenStream {
    quote! {
        /// Serves files.
        impl Files {
            /// Reads a whole file.
            #[expose(policy = AllowAny)]
            fn read_file(&self, path: PathBuf) -> io::Result<Blob> {
                Ok(fs::read(path)?.into())
            }

            #[expose(policy = AllowParents)]
            #[no_reply]
            fn forget(&self, path: &str, caller: &Caller) {}

            #[expose(policy = Self::is_admin, policy = AllowAny, invoker = SerializedInvoker)]
            #[arg_spec(size(check = is_sane, check = |n| *n != 13), note(check = is_short))]
            #[deprecated]
            pub fn grow(
                &self,
                mut size: usize,
                #[arg(default = 3)] step: u32,
                note: Option<String>,
                #[arg(default)] rest: Vec<Self>,
                reply: Reply<String>,
            ) {}

            #[cfg(unix)]
            #[expose(policy = AllowAny)]
            fn r#type(&self, _router: &Router, bytes: &[u8], path: &Path) -> Kind {}

            fn not_exposed(&self) {}
        }
    }
}

fn parsed(tokens: TokenStream) -> Vec<Item> {
    let file: syn::File = syn::parse2(tokens).expect("the expansion is Rust");
    file.items
}

fn is_named(ty: &Type, name: &str) -> bool {
    print::tokens(ty) == name
}

/// The signatures in the last inherent impl block of a type.
fn signatures(items: &[Item], name: &str) -> Vec<String> {
    let block = items.iter().rev().find_map(|item| match item {
        Item::Impl(block) if block.trait_.is_none() && is_named(&block.self_ty, name) => Some(block),
        _ => None,
    });
    let items = &block.expect("there is such a block").items;
    let signatures = items.iter().filter_map(|item| match item {
        ImplItem::Fn(function) => {
            let (vis, sig) = (&function.vis, &function.sig);
            Some(print::tokens(&quote!(#vis #sig)))
        }
        _ => None,
    });
    signatures.collect()
}

/// How many mistakes are reported.
fn mistakes(tokens: &TokenStream) -> usize {
    tokens.to_string().matches("compile_error").count()
}

#[test]
fn the_users_block_comes_first_and_without_our_attributes() {
    let items = parsed(entry::service(quote!(activate), files()));
    let Item::Impl(block) = &items[0] else { panic!("the block is gone") };
    assert_eq!(block.items.len(), 5);
    let text = block.to_token_stream().to_string();
    for word in ["expose", "no_reply", "arg_spec", "arg"] {
        assert!(!text.contains(&format!("[{word}")), "{word} is still there: {text}");
    }
    assert!(text.contains("deprecated") && text.contains("cfg"), "{text}");
}

#[test]
fn a_stub_has_the_arguments_but_not_the_injected_parameters() {
    let items = parsed(entry::service(quote!(), files()));
    assert_eq!(
        signatures(&items, "FilesStub"),
        [
            "pub fn faked(double: impl FilesApi + 'static) -> Self",
            "pub fn on_behalf_of(&self, caller: &::mitogen_service::Caller) -> Self",
            "pub fn with_timeout(&self, timeout::: core::time::Duration) -> Self",
            "pub fn no_wait(&self) -> Self",
            "pub fn read_file(&self, path: PathBuf) -> ::mitogen_service::Call<Blob>",
            "pub fn forget(&self, path: &str) -> ::core::result::Result<(), ::mitogen_service::CallError>",
            "pub fn grow(&self, size: usize, step: u32, note: Option<String>, rest: Vec<Files>) \
             -> ::mitogen_service::Call<String>",
            "pub fn r#type(&self, bytes: &[u8], path: &Path) -> ::mitogen_service::Call<Kind>",
        ]
    );
    assert_eq!(signatures(&items, "Files"), ["pub fn stub(context: &::mitogen_service::Context) -> FilesStub"]);
}

#[test]
fn the_docs_of_a_stub_say_which_arguments_may_be_left_out() {
    let items = parsed(entry::service(quote!(), files()));
    let methods: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            Item::Impl(block) if block.trait_.is_none() && is_named(&block.self_ty, "FilesStub") => Some(block.items),
            _ => None,
        })
        .flatten()
        .collect();
    let docs = |name: &str| {
        let method = methods.iter().find_map(|item| match item {
            ImplItem::Fn(function) if function.sig.ident == name => Some(function),
            _ => None,
        });
        let attrs = &method.expect("there is such a method").attrs;
        attrs.iter().map(|attr| attr.to_token_stream().to_string()).collect::<String>()
    };
    let said = "Callers by name may leave out `step` (then it is `3`), `note` (then it is `None`), \
                `rest` (then it is the default of its type).";
    assert!(docs("grow").contains(said), "{}", docs("grow"));
    assert!(!docs("read_file").contains("leave out") && docs("read_file").contains("Policy: "));
}

#[test]
fn vis_and_crate_hold_for_everything() {
    let options = quote!(vis = pub(crate), crate = crate::reexports::sdk);
    let tokens = entry::service(options, files());
    let text = print::tokens(&tokens);
    assert!(!text.contains("mitogen_service"), "{text}");
    assert!(text.contains("pub(crate) struct FilesStub"), "{text}");
    assert!(text.contains("pub(crate) trait FilesApi"), "{text}");
    for signature in signatures(&parsed(tokens), "FilesStub") {
        assert!(signature.starts_with("pub(crate) fn"), "{signature}");
    }
}

#[test]
fn every_method_can_be_doubled() {
    let items = parsed(entry::service(quote!(), files()));
    let api = items.iter().find_map(|item| match item {
        Item::Trait(api) if api.ident == "FilesApi" => Some(api),
        _ => None,
    });
    let methods = api.expect("there is a trait").items.iter().map(|item| match item {
        TraitItem::Fn(method) => {
            assert!(method.default.is_some(), "each has an answer");
            method.sig.ident.to_string()
        }
        _ => panic!("the trait has methods only"),
    });
    assert_eq!(methods.collect::<Vec<_>>(), ["read_file", "forget", "grow", "r#type"]);
}

#[test]
fn the_descriptor_tells_what_was_written() {
    let text = print::tokens(&entry::service(quote!(name = "files"), files()));
    for part in [
        r#"name: "files", type_name: "Files", docs: "Serves files.""#,
        r#"name: "read_file", docs: "Reads a whole file.""#,
        r#"policies: &["Self::is_admin", "AllowAny"], invoker::: core::option::Option::Some("SerializedInvoker")"#,
        r#"result: "String", no_reply: false"#,
        r#"{ name: "step", type_name: "u32", required: false, default::: core::option::Option::Some("3") }"#,
        r#"{ name: "note", type_name: "Option<String>", required: false, default::: core::option::Option::Some("None") }"#,
        r#"{ name: "bytes", type_name: "&[u8]", required: true, default::: core::option::Option::None }"#,
        r#"name: "type""#,
        r#"policies: &["AllowParents"], invoker::: core::option::Option::None, result: "()", no_reply: true"#,
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn keys_are_made_where_an_invoker_is_named_and_calls_can_be_equal() {
    let keys = |options, block| {
        let text = print::tokens(&entry::service(options, block));
        text.matches("call.key()").count()
    };
    assert_eq!(keys(quote!(), files()), 0);
    // `forget` is `#[no_reply]`, and `grow` takes a `Reply`.
    assert_eq!(keys(quote!(invoker = A::new()), files()), 2);
    let one = quote! {
        impl Files {
            #[expose(policy = AllowAny, invoker = A)]
            fn one(&self) -> Uncached<u8> {}
            #[expose(policy = AllowAny)]
            fn other(&self) -> Result<Uncached<u8>, E> {}
        }
    };
    assert_eq!(keys(quote!(), one.clone()), 1);
    let stub = signatures(&parsed(entry::service(quote!(), one)), "FilesStub");
    assert!(stub[4..].iter().all(|signature| signature.ends_with("Call<u8>")), "{stub:?}");
}

#[test]
fn all_mistakes_are_found_at_once() {
    let tokens = entry::service(
        quote!(nmae = "files", vis),
        quote! {
            impl Files {
                #[expose]
                fn one(&mut self, (a, b): (u8, u8)) -> &str {}
                #[expose(policy = AllowAny)]
                async fn two<T>(&self, names: &[String]) -> fmt::Result {}
                #[no_reply]
                fn three(&self) {}
            }
        },
    );
    // Two options; policy, receiver, pattern, result; async, generic, borrow, result; not exposed.
    assert_eq!(mistakes(&tokens), 11, "{tokens}");
}

#[test]
fn a_mistake_leaves_the_stub_in_place() {
    let block = quote! {
        impl Files {
            #[expose]
            fn read(&self, path: String) -> u8 {}
            #[expose(policy = AllowAny)]
            fn sum(&mut self, (a, b): (u8, u8), caller: &Caller) -> Result<u8, E> {}
            #[expose(policy = AllowAny)]
            fn alias(&self) -> IoResult<u8> {}
        }
    };
    let items = parsed(entry::service(quote!(), block));
    assert_eq!(
        signatures(&items, "FilesStub"),
        [
            "pub fn faked(double: impl FilesApi + 'static) -> Self",
            "pub fn on_behalf_of(&self, caller: &::mitogen_service::Caller) -> Self",
            "pub fn with_timeout(&self, timeout::: core::time::Duration) -> Self",
            "pub fn no_wait(&self) -> Self",
            "pub fn read(&self, path: String) -> ::mitogen_service::Call<u8>",
            "pub fn sum(&self, argument_0: (u8, u8)) -> ::mitogen_service::Call<u8>",
            "pub fn alias(&self) -> ::mitogen_service::Call<u8>",
        ]
    );
}

#[test]
fn what_is_no_service_comes_back_with_one_mistake() {
    let read = quote!(
        impl Read for Files {
            #[expose(policy = AllowAny)]
            fn read(&self) {}
        }
    );
    for item in [
        quote!(
            fn read() {}
        ),
        quote!(
            mod files {}
        ),
        read,
        quote!(let x = 3;),
    ] {
        let tokens = entry::service(quote!(), item);
        assert_eq!(mistakes(&tokens), 1, "{tokens}");
    }
}

/// The function of the documentation, with a parameter of every kind.
fn greet() -> TokenStream {
    quote! {
        /// Greets.
        #[cfg(unix)]
        #[deprecated]
        #[inline]
        pub(crate) fn greet(
            mut name: &str,
            router: &Router,
            #[arg(default = 3)] times: u32,
            note: Option<&str>,
            _: &Caller,
            shown: Cow<'_, [u8]>,
        ) -> io::Result<PathBuf> {
            loop {}
        }
    }
}

#[test]
fn a_function_becomes_a_static_that_points_to_it() {
    let items = parsed(entry::function(quote!(), greet()));
    let [Item::Static(made)] = &items[..] else { panic!("there is one item") };
    assert_eq!(made.ident, "greet");
    let expected: Type = syn::parse_quote! {
        ::mitogen_service::Function<
            fn(
                name: &str, router: &Router, times: u32, note: Option<&str>, &Caller, shown: Cow<'_, [u8]>
            ) -> io::Result<PathBuf>,
            dyn for<'mitogen> ::mitogen_service::__private::FunctionSignature<
                'mitogen,
                Args = (&'mitogen str, u32, Option<&'mitogen str>, Cow<'mitogen, [u8]>),
                Answer = PathBuf,
            >,
        >
    };
    assert_eq!(print::tokens(&made.ty).replace(",>", ">"), print::tokens(&expected).replace(",>", ">"));
    let outer: Vec<String> = made.attrs.iter().map(|attribute| print::tokens(attribute.path())).collect();
    assert_eq!(outer, ["doc", "cfg", "deprecated", "allow"]);
    let body = print::tokens(&made.expr);
    assert!(body.contains("#[inline] fn greet(mut name: &str, router: &Router, times: u32"), "{body}");
    assert!(!body.contains("#[arg"), "{body}");
    for part in [
        r#"core::concat!(::core::module_path!(), "::", "greet"), docs: "Greets.""#,
        r#"{ name: "times", type_name: "u32", required: false, default"#,
        r#"result: "PathBuf", no_reply: false"#,
        "__private::register!(FUNCTIONS",
    ] {
        assert!(body.contains(part), "no `{part}` in {body}");
    }
}

#[test]
fn arguments_are_passed_as_nothing_as_one_or_as_a_tuple() {
    for (parameters, args) in [
        (quote!(), "()"),
        (quote!(router: &Router), "()"),
        (quote!(text: &str), "&'mitogen str"),
        (quote!(router: &Router, pair: (u8, u8)), "(u8, u8)"),
        (quote!(a: &Path, b: &[u8]), "(&'mitogen Path, &'mitogen [u8])"),
    ] {
        let function = quote!(fn f(#parameters) {});
        let made = print::tokens(&entry::function(quote!(), function)).replace(' ', "");
        assert!(made.contains(&format!("<'mitogen,Args={args},Answer=()>").replace(' ', "")), "{made}");
    }
}

#[test]
fn the_runtime_of_a_function_may_stand_elsewhere() {
    let made = entry::function(quote!(crate = crate::sdk), greet());
    assert!(!print::tokens(&made).contains("mitogen_service"), "{made}");
}

#[test]
fn all_mistakes_of_a_function_are_found_at_once() {
    let made = entry::function(
        quote!(name = "f"),
        quote! {
            #[expose(policy = AllowAny)]
            #[no_reply]
            const async unsafe extern "C" fn f<T>(
                &self, (a, b): (u8, u8), #[arg(default)] names: &[String], f: u8, reply: Reply<u8>,
            ) -> Result<&str, impl Display> {}
        },
    );
    // The option; both attributes; const, async, unsafe, abi, generic, self; pattern, borrow, name,
    // reply; result, error.
    assert_eq!(mistakes(&made), 15, "{made}");
    let text = made.to_string();
    assert!(text.starts_with("const async unsafe extern \"C\" fn f"), "the function is still there: {text}");
    assert!(!text.contains("[arg") && !text.contains("[expose ("), "{text}");
}

#[test]
fn what_is_no_function_comes_back_with_one_mistake() {
    for item in [
        quote!(
            fn f();
        ),
        quote!(
            struct F;
        ),
        quote!(
            impl F {
                fn f() {}
            }
        ),
        quote!(let f = |n: u8| n;),
    ] {
        let made = entry::function(quote!(), item.clone());
        assert_eq!(mistakes(&made), 1, "{made}");
        assert!(made.to_string().starts_with(&item.to_string()), "{made}");
    }
}

#[test]
fn an_attribute_outside_a_service_speaks_once() {
    let method = quote!(
        #[no_reply]
        fn read(&self, #[arg(default)] n: u8) {}
    );
    let tokens = entry::outside_service("expose", method);
    assert_eq!(mistakes(&tokens), 1);
    assert!(tokens.to_string().starts_with("fn read"), "{tokens}");
}

#[test]
fn main_keeps_the_attributes_of_a_runtime_inside() {
    let function = quote! {
        /// Runs.
        #[tokio::main]
        async fn main(router: &Router) -> Result<()> {}
    };
    let items = parsed(entry::main(quote!(), function));
    let Item::Fn(outer) = &items[0] else { panic!("there is no function") };
    assert_eq!(print::tokens(&outer.sig), "fn main() -> ::std::process::ExitCode");
    let body = print::tokens(&outer.block);
    assert!(body.contains("#[tokio::main] async fn user_main(router: &Router)"), "{body}");
    assert!(!body.contains("block_on"), "{body}");

    let plain = entry::main(
        quote!(),
        quote!(
            async fn main() {}
        ),
    );
    assert!(print::tokens(&plain).contains("__private::block_on(user_main())"), "{plain}");
}

/// Calls `check` with the tokens, leaving out one of them at a time, however deep it is.
fn without_each(tokens: TokenStream, check: &mut dyn FnMut(TokenStream)) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for left_out in 0..trees.len() {
        let (before, after) = (&trees[..left_out], &trees[left_out + 1..]);
        check(before.iter().chain(after).cloned().collect());
        if let TokenTree::Group(group) = &trees[left_out] {
            let delimiter = group.delimiter();
            without_each(group.stream(), &mut |inner| {
                let group = TokenTree::Group(Group::new(delimiter, inner));
                check(before.iter().cloned().chain([group]).chain(after.iter().cloned()).collect());
            });
        }
    }
}

#[test]
fn nothing_a_user_types_makes_the_macro_panic() {
    let mut calls = 0;
    without_each(files(), &mut |block| {
        calls += 1;
        entry::service(quote!(activate), block);
    });
    assert!(calls > 200, "the example was taken apart: {calls}");
    without_each(greet(), &mut |function| {
        entry::function(quote!(crate = a::b), function);
    });
    let options = quote!(name = "x", invoker = A::new(1), activate = Self::new, vis = pub(crate), crate = a::b);
    without_each(options, &mut |options| {
        entry::service(options.clone(), quote!(impl Files {}));
        entry::service(
            options.clone(),
            quote!(
                struct Files;
            ),
        );
        entry::function(options.clone(), greet());
        entry::main(
            options,
            quote!(
                fn main() {}
            ),
        );
    });
    let braces = TokenTree::Group(Group::new(Delimiter::Brace, TokenStream::new()));
    entry::service(TokenStream::from(braces), files());
}

/// The crate is read like a book: no function is longer than a page, none gives up on what a user writes, and
/// every file says what it is about.
#[test]
fn every_file_says_what_it_is_and_no_function_is_long() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display();
        assert!(text.starts_with("//! "), "{name} does not begin with `//!`");
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for word in [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!("] {
            assert!(!code.contains(word), "{name} has `{word}`");
        }
        let mut begun: Option<(usize, String)> = None;
        for (number, line) in code.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let word = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            if word.trim_start_matches("pub ").starts_with("fn ") && !line.ends_with('}') {
                begun = Some((number, format!("{}}}", " ".repeat(indent))));
            }
            if let Some((from, end)) = &begun
                && line == end
            {
                let lines = number - from + 1;
                assert!(lines <= 70, "the function at {name}:{} has {lines} lines", from + 1);
                begun = None;
            }
        }
    }
}
