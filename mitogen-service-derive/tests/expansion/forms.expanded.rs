impl Forms {
    fn start(&self, scope: &ServiceScope) -> io::Result<()> {
        self.open(scope)
    }
    #[deprecated]
    fn read(&self, path: PathBuf, note: Option<&str>, kind: Kind) -> PathBuf {
        path
    }
    #[cfg(unix)]
    #[expect(clippy::unused_self)]
    fn later(&self, router: &Router, reply: Reply<Blob>) {}
}
#[allow(
    dead_code,
    deprecated,
    nonstandard_style,
    unused_imports,
    unused_variables,
    private_bounds,
    private_interfaces,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
impl Forms {
    /// Returns a stub of [`Forms`] in another context; calls go there.
    pub(crate) fn stub(context: &crate::sdk::Context) -> FormsStub {
        FormsStub {
            target: crate::sdk::__private::Target::context(context),
        }
    }
}
#[allow(
    dead_code,
    deprecated,
    nonstandard_style,
    unused_imports,
    unused_variables,
    private_bounds,
    private_interfaces,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
/// Calls the methods of [`Forms`] in another context.
pub(crate) struct FormsStub {
    target: crate::sdk::__private::Target<dyn FormsApi>,
}
#[automatically_derived]
impl ::core::clone::Clone for FormsStub {
    fn clone(&self) -> Self {
        Self {
            target: ::core::clone::Clone::clone(&self.target),
        }
    }
}
#[automatically_derived]
impl ::core::fmt::Debug for FormsStub {
    fn fmt(&self, __formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        ::core::fmt::Formatter::write_str(__formatter, "FormsStub")
    }
}
#[allow(
    dead_code,
    deprecated,
    nonstandard_style,
    unused_imports,
    unused_variables,
    private_bounds,
    private_interfaces,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
impl FormsStub {
    /// The same stub over a double of [`Forms`], for tests of its callers.
    pub(crate) fn faked(double: impl FormsApi + 'static) -> Self {
        Self {
            target: crate::sdk::__private::Target::<
                dyn FormsApi,
            >::double(::std::sync::Arc::new(double)),
        }
    }
    /// The same stub, calling with the authority of a caller in place of this context's
    /// own. It can only lower the authority.
    pub(crate) fn on_behalf_of(&self, caller: &crate::sdk::Caller) -> Self {
        Self {
            target: self.target.on_behalf_of(caller),
        }
    }
    /// The same stub, whose calls are given up after this time. The time travels with them,
    /// and what the methods call inherits it. It begins when the call is made: one that gets
    /// no room in this process meanwhile is not sent.
    pub(crate) fn with_timeout(&self, timeout: ::core::time::Duration) -> Self {
        Self {
            target: self.target.with_timeout(timeout),
        }
    }
    /// The same stub, whose calls fail with `Overloaded` where they would wait for room in
    /// this process.
    pub(crate) fn no_wait(&self) -> Self {
        Self {
            target: self.target.no_wait(),
        }
    }
    /// Calls the method `read` of [`Forms`].
    ///
    /// Callers by name may leave out `note` (then it is `None`), `type` (then it is the default of its type).
    ///
    /// Policy: `AllowAny`.
    #[deprecated]
    pub(crate) fn read(
        &self,
        path: PathBuf,
        note: Option<&str>,
        kind: Kind,
    ) -> crate::sdk::Call<PathBuf> {
        match self.target.resolve() {
            crate::sdk::__private::Resolved::Double(__double) => {
                crate::sdk::Call::ready(
                    <_ as FormsApi>::read(__double, path, note, kind),
                )
            }
            crate::sdk::__private::Resolved::Context(__remote) => {
                let mut __request = __remote
                    .request(<Forms as crate::sdk::Service>::DESCRIPTOR, 0usize);
                __request.arg("path", &path, crate::sdk::__private::path::encode);
                __request
                    .arg(
                        "note",
                        &note,
                        crate::sdk::__private::travels::argument::<Option<&str>>(),
                    );
                __request
                    .arg(
                        "type",
                        &kind,
                        crate::sdk::__private::travels::argument::<Kind>(),
                    );
                __request.call(crate::sdk::__private::path::decode)
            }
        }
    }
    /// Calls the method `later` of [`Forms`].
    ///
    /// Policy: `AllowAny`.
    #[allow(clippy::unused_self)]
    #[cfg(unix)]
    pub(crate) fn later(&self) -> crate::sdk::Call<Blob> {
        match self.target.resolve() {
            crate::sdk::__private::Resolved::Double(__double) => {
                crate::sdk::Call::ready(<_ as FormsApi>::later(__double))
            }
            crate::sdk::__private::Resolved::Context(__remote) => {
                let __request = __remote
                    .request(<Forms as crate::sdk::Service>::DESCRIPTOR, 1usize);
                __request.call(crate::sdk::__private::travels::answer::<Blob>)
            }
        }
    }
}
#[allow(
    dead_code,
    deprecated,
    nonstandard_style,
    unused_imports,
    unused_variables,
    private_bounds,
    private_interfaces,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
/// What [`Forms`] does, for doubles of it: implement what a test needs, and [`FormsStub::faked`] makes a stub of that.
pub(crate) trait FormsApi: ::core::marker::Send + ::core::marker::Sync {
    /// What the method `read` answers; `NoSuchMethod` unless implemented.
    #[deprecated]
    fn read(
        &self,
        path: PathBuf,
        note: Option<&str>,
        kind: Kind,
    ) -> ::core::result::Result<PathBuf, crate::sdk::CallError> {
        crate::sdk::__private::not_faked(
            <Forms as crate::sdk::Service>::DESCRIPTOR,
            0usize,
        )
    }
    /// What the method `later` answers; `NoSuchMethod` unless implemented.
    #[allow(clippy::unused_self)]
    #[cfg(unix)]
    fn later(&self) -> ::core::result::Result<Blob, crate::sdk::CallError> {
        crate::sdk::__private::not_faked(
            <Forms as crate::sdk::Service>::DESCRIPTOR,
            1usize,
        )
    }
}
#[allow(
    dead_code,
    deprecated,
    nonstandard_style,
    unused_imports,
    unused_variables,
    private_bounds,
    private_interfaces,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
const _: () = {
    use crate::sdk::__private::{
        allows as __allows, any_allows as __any_allows, apply_check as __apply_check,
        member as __member, NoPolicy as _, NotMaking as _,
    };
    use crate::sdk::__private::travels::Unable as _;
    use crate::sdk::__private::failure::{
        ByBoxed as _, ByCallError as _, ByDisplay as _, ByNothing as _,
        ByRuntimeError as _, BySource as _, ByTyped as _, ByTypedSource as _,
    };
    #[automatically_derived]
    impl crate::sdk::Service for Forms {
        const DESCRIPTOR: &'static crate::sdk::__private::ServiceDescriptor = &crate::sdk::__private::ServiceDescriptor {
            name: "forms",
            type_name: "Forms",
            docs: "",
            invoker: "DeduplicatingInvoker::new().max_entries(10)",
            methods: &[
                crate::sdk::__private::MethodDescriptor {
                    name: "read",
                    docs: "",
                    args: &[
                        crate::sdk::__private::ArgSpec {
                            name: "path",
                            type_name: "PathBuf",
                            required: true,
                            default: ::core::option::Option::None,
                        },
                        crate::sdk::__private::ArgSpec {
                            name: "note",
                            type_name: "Option<&str>",
                            required: false,
                            default: ::core::option::Option::Some("None"),
                        },
                        crate::sdk::__private::ArgSpec {
                            name: "type",
                            type_name: "Kind",
                            required: false,
                            default: ::core::option::Option::Some("Default::default()"),
                        },
                    ],
                    policies: &["AllowAny"],
                    invoker: ::core::option::Option::None,
                    result: "PathBuf",
                    no_reply: false,
                },
                #[cfg(unix)]
                crate::sdk::__private::MethodDescriptor {
                    name: "later",
                    docs: "",
                    args: &[],
                    policies: &["AllowAny"],
                    invoker: ::core::option::Option::Some("ConcurrentInvoker"),
                    result: "Blob",
                    no_reply: false,
                },
            ],
        };
        const METHODS: &'static [crate::sdk::__private::Method<Self>] = &[
            crate::sdk::__private::Method {
                authorize: |__service: &Self, __caller: &crate::sdk::Caller| -> bool {
                    crate::sdk::__private::Asked(__service, &AllowAny).allows(__caller)
                },
                invoke: |
                    __service: &Self,
                    __call: &crate::sdk::__private::Invocation<'_>,
                | -> crate::sdk::__private::Outcome {
                    let __args = __call.args()?;
                    let __arg_path: PathBuf = __args
                        .required(0usize, crate::sdk::__private::path::decode)?;
                    let __arg_note: Option<&str> = __args
                        .optional(
                            1usize,
                            crate::sdk::__private::travels::Value::<Option<&str>>::decode,
                        )?;
                    let __arg_kind: Kind = __args
                        .or_else(
                            2usize,
                            crate::sdk::__private::travels::Value::<Kind>::decode,
                            crate::sdk::__private::travels::default::<Kind>(),
                        )?;
                    __args.check(0usize, (is_absolute)(&__arg_path))?;
                    if let ::core::option::Option::Some(__value) = &__arg_note {
                        __args
                            .check(
                                1usize,
                                __apply_check(__value, |note| !note.is_empty()),
                            )?;
                    }
                    __call.enter();
                    let __result = <Forms>::read(
                        __service,
                        __arg_path,
                        __arg_note,
                        __arg_kind,
                    );
                    __call.reply(&__result, crate::sdk::__private::path::encode)
                },
                invoker: ::core::option::Option::None,
                key: ::core::option::Option::Some(|
                    __call: &crate::sdk::__private::Invocation<'_>|
                {
                    let __args = __call.args()?;
                    let __arg_path: PathBuf = __args
                        .required(0usize, crate::sdk::__private::path::decode)?;
                    let __arg_note: Option<&str> = __args
                        .optional(
                            1usize,
                            crate::sdk::__private::travels::Value::<Option<&str>>::decode,
                        )?;
                    let __arg_kind: Kind = __args
                        .or_else(
                            2usize,
                            crate::sdk::__private::travels::Value::<Kind>::decode,
                            crate::sdk::__private::travels::default::<Kind>(),
                        )?;
                    __args.check(0usize, (is_absolute)(&__arg_path))?;
                    if let ::core::option::Option::Some(__value) = &__arg_note {
                        __args
                            .check(
                                1usize,
                                __apply_check(__value, |note| !note.is_empty()),
                            )?;
                    }
                    let mut __key = __call.key();
                    __key.arg(0usize, &__arg_path, crate::sdk::__private::path::encode)?;
                    __key
                        .arg(
                            1usize,
                            &__arg_note,
                            crate::sdk::__private::travels::Value::<Option<&str>>::encode,
                        )?;
                    __key
                        .arg(
                            2usize,
                            &__arg_kind,
                            crate::sdk::__private::travels::Value::<Kind>::encode,
                        )?;
                    ::core::result::Result::Ok(__key.finish())
                }),
            },
            #[cfg(unix)]
            crate::sdk::__private::Method {
                authorize: |__service: &Self, __caller: &crate::sdk::Caller| -> bool {
                    crate::sdk::__private::Asked(__service, &AllowAny).allows(__caller)
                },
                invoke: |
                    __service: &Self,
                    __call: &crate::sdk::__private::Invocation<'_>,
                | -> crate::sdk::__private::Outcome {
                    __call.args()?;
                    __call.enter();
                    let __result = <Forms>::later(
                        __service,
                        __call.router(),
                        __call
                            .deferred(
                                crate::sdk::__private::travels::Value::<Blob>::encode,
                            ),
                    );
                    let () = __result;
                    __call.deferred_answer()
                },
                invoker: ::core::option::Option::Some(|| {
                    let invoker = <ConcurrentInvoker as ::core::default::Default>::default();
                    {
                        use crate::sdk::__private::sharing::ByDefault as _;
                        let manner = crate::sdk::__private::sharing::Probe(&invoker)
                            .manner();
                        crate::sdk::__private::sharing::with_reply(manner);
                    }
                    ::std::boxed::Box::new(invoker)
                }),
                key: ::core::option::Option::None,
            },
        ];
        const HOSTING: crate::sdk::__private::Hosting<Self> = crate::sdk::__private::hosting::<
            Forms,
        >();
        const HOOKS: crate::sdk::__private::Hooks<Self> = crate::sdk::__private::Hooks {
            on_start: ::core::option::Option::Some(|
                __service: &Self,
                __scope: &crate::sdk::ServiceScope|
            match <Forms>::start(__service, __scope) {
                ::core::result::Result::Ok(_) => ::core::result::Result::Ok(()),
                ::core::result::Result::Err(__error) => {
                    crate::sdk::__private::failure::must_display(&__error);
                    ::core::result::Result::Err(
                        (&&&&&&&&crate::sdk::__private::failure::Failure(&__error))
                            .to_call_error(),
                    )
                }
            }),
            ..crate::sdk::__private::Hooks::NONE
        };
        fn invoker() -> ::std::boxed::Box<dyn crate::sdk::Invoker> {
            ::std::boxed::Box::new(DeduplicatingInvoker::new().max_entries(10))
        }
    }
    const _: () = ::core::assert!(
        { use crate ::sdk::__private::StructOptions as _; < Forms >
        ::__MITOGEN_SERVICE_NAME.is_none() },
        "`name` is given on the type as well as on the impl block; write it once"
    );
    const _: () = ::core::assert!(
        { use crate ::sdk::__private::StructOptions as _; < Forms >
        ::__MITOGEN_SERVICE_INVOKER.is_none() },
        "`invoker` is given on the type as well as on the impl block; write it once"
    );
};
