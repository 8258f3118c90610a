/// Counts things.
impl Counters {
    /// Adds to a counter, and returns what it comes to.
    fn add(&self, name: &str, by: u64) -> Result<u64, Overflow> {
        self.counters.add(name, by)
    }
    /// Forgets a counter.
    fn forget(&self, name: String, caller: &Caller) {
        self.counters.forget(&name, caller);
    }
    /// Everything.
    fn all(&self) -> BTreeMap<String, u64> {
        self.counters.all()
    }
    fn is_open(&self, _: &Caller) -> bool {
        true
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
impl Counters {
    /// Returns a stub of [`Counters`] in another context; calls go there.
    pub fn stub(context: &::mitogen_service::Context) -> CountersStub {
        CountersStub {
            target: ::mitogen_service::__private::Target::context(context),
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
/// Calls the methods of [`Counters`] in another context.
pub struct CountersStub {
    target: ::mitogen_service::__private::Target<dyn CountersApi>,
}
#[automatically_derived]
impl ::core::clone::Clone for CountersStub {
    fn clone(&self) -> Self {
        Self {
            target: ::core::clone::Clone::clone(&self.target),
        }
    }
}
#[automatically_derived]
impl ::core::fmt::Debug for CountersStub {
    fn fmt(&self, __formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        ::core::fmt::Formatter::write_str(__formatter, "CountersStub")
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
impl CountersStub {
    /// The same stub over a double of [`Counters`], for tests of its callers.
    pub fn faked(double: impl CountersApi + 'static) -> Self {
        Self {
            target: ::mitogen_service::__private::Target::<
                dyn CountersApi,
            >::double(::std::sync::Arc::new(double)),
        }
    }
    /// The same stub, calling with the authority of a caller in place of this context's
    /// own. It can only lower the authority.
    pub fn on_behalf_of(&self, caller: &::mitogen_service::Caller) -> Self {
        Self {
            target: self.target.on_behalf_of(caller),
        }
    }
    /// The same stub, whose calls are given up after this time. The time travels with them,
    /// and what the methods call inherits it. It begins when the call is made: one that gets
    /// no room in this process meanwhile is not sent.
    pub fn with_timeout(&self, timeout: ::core::time::Duration) -> Self {
        Self {
            target: self.target.with_timeout(timeout),
        }
    }
    /// The same stub, whose calls fail with `Overloaded` where they would wait for room in
    /// this process.
    pub fn no_wait(&self) -> Self {
        Self {
            target: self.target.no_wait(),
        }
    }
    /// Adds to a counter, and returns what it comes to.
    ///
    /// Callers by name may leave out `by` (then it is `1`).
    ///
    /// Policy: `AllowAny`.
    ///
    /// # Errors
    /// The error of the method, `Overflow`, arrives as `CallError::Failed`.
    pub fn add(&self, name: &str, by: u64) -> ::mitogen_service::Call<u64> {
        match self.target.resolve() {
            ::mitogen_service::__private::Resolved::Double(__double) => {
                ::mitogen_service::Call::ready(
                    <_ as CountersApi>::add(__double, name, by),
                )
            }
            ::mitogen_service::__private::Resolved::Context(__remote) => {
                let mut __request = __remote
                    .request(
                        <Counters as ::mitogen_service::Service>::DESCRIPTOR,
                        0usize,
                    );
                __request
                    .arg(
                        "name",
                        name,
                        ::mitogen_service::__private::value::encode::<str>,
                    );
                __request
                    .arg(
                        "by",
                        &by,
                        ::mitogen_service::__private::travels::argument::<u64>(),
                    );
                __request.call(::mitogen_service::__private::travels::answer::<u64>)
            }
        }
    }
    /// Forgets a counter.
    ///
    /// Policy: `AllowParents`.
    pub fn forget(
        &self,
        name: String,
    ) -> ::core::result::Result<(), ::mitogen_service::CallError> {
        match self.target.resolve() {
            ::mitogen_service::__private::Resolved::Double(__double) => {
                <_ as CountersApi>::forget(__double, name)
            }
            ::mitogen_service::__private::Resolved::Context(__remote) => {
                let mut __request = __remote
                    .request(
                        <Counters as ::mitogen_service::Service>::DESCRIPTOR,
                        1usize,
                    );
                __request
                    .arg(
                        "name",
                        &name,
                        ::mitogen_service::__private::travels::argument::<String>(),
                    );
                __request.post()
            }
        }
    }
    /// Everything.
    ///
    /// Policy: `AllowAny` and `Self::is_open`.
    pub fn all(&self) -> ::mitogen_service::Call<BTreeMap<String, u64>> {
        match self.target.resolve() {
            ::mitogen_service::__private::Resolved::Double(__double) => {
                ::mitogen_service::Call::ready(<_ as CountersApi>::all(__double))
            }
            ::mitogen_service::__private::Resolved::Context(__remote) => {
                let __request = __remote
                    .request(
                        <Counters as ::mitogen_service::Service>::DESCRIPTOR,
                        2usize,
                    );
                __request
                    .call({
                        use ::mitogen_service::__private::travels::{
                            Named as __Named, NotAResult as _, bounds as __bounds,
                        };
                        __Named::<BTreeMap<String, u64>>::answer
                    })
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
/// What [`Counters`] does, for doubles of it: implement what a test needs, and [`CountersStub::faked`] makes a stub of that.
pub trait CountersApi: ::core::marker::Send + ::core::marker::Sync {
    /// What the method `add` answers; `NoSuchMethod` unless implemented.
    fn add(
        &self,
        name: &str,
        by: u64,
    ) -> ::core::result::Result<u64, ::mitogen_service::CallError> {
        ::mitogen_service::__private::not_faked(
            <Counters as ::mitogen_service::Service>::DESCRIPTOR,
            0usize,
        )
    }
    /// What the method `forget` answers; `NoSuchMethod` unless implemented.
    fn forget(
        &self,
        name: String,
    ) -> ::core::result::Result<(), ::mitogen_service::CallError> {
        ::mitogen_service::__private::not_faked(
            <Counters as ::mitogen_service::Service>::DESCRIPTOR,
            1usize,
        )
    }
    /// What the method `all` answers; `NoSuchMethod` unless implemented.
    fn all(
        &self,
    ) -> ::core::result::Result<BTreeMap<String, u64>, ::mitogen_service::CallError> {
        ::mitogen_service::__private::not_faked(
            <Counters as ::mitogen_service::Service>::DESCRIPTOR,
            2usize,
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
    use ::mitogen_service::__private::{
        allows as __allows, any_allows as __any_allows, apply_check as __apply_check,
        member as __member, NoPolicy as _, NotMaking as _,
    };
    use ::mitogen_service::__private::travels::Unable as _;
    use ::mitogen_service::__private::failure::{
        ByBoxed as _, ByCallError as _, ByDisplay as _, ByNothing as _,
        ByRuntimeError as _, BySource as _, ByTyped as _, ByTypedSource as _,
    };
    #[automatically_derived]
    impl ::mitogen_service::Service for Counters {
        const DESCRIPTOR: &'static ::mitogen_service::__private::ServiceDescriptor = &::mitogen_service::__private::ServiceDescriptor {
            name: {
                use ::mitogen_service::__private::StructOptions as _;
                match <Counters>::__MITOGEN_SERVICE_NAME {
                    ::core::option::Option::Some(__name) => __name,
                    ::core::option::Option::None => {
                        type __Service = Counters;
                        let __is_in_module = {
                            use ::mitogen_service::__private::place::Elsewhere as Counters;
                            {
                                use self::*;
                                use ::mitogen_service::__private::place::NotHere as _;
                                ::mitogen_service::__private::place::Here::<
                                    __Service,
                                    Counters,
                                >::IS_HERE
                            }
                        };
                        if __is_in_module {
                            ::core::concat!(::core::module_path!(), "::", "Counters")
                        } else {
                            ::core::concat!(
                                ::core::module_path!(), "::{", ::core::line!(), ":",
                                ::core::column!(), "}::", "Counters",
                            )
                        }
                    }
                }
            },
            type_name: "Counters",
            docs: "Counts things.",
            invoker: {
                use ::mitogen_service::__private::StructOptions as _;
                match <Counters>::__MITOGEN_SERVICE_INVOKER_NAME {
                    ::core::option::Option::Some(__name) => __name,
                    ::core::option::Option::None => "ConcurrentInvoker",
                }
            },
            methods: &[
                ::mitogen_service::__private::MethodDescriptor {
                    name: "add",
                    docs: "Adds to a counter, and returns what it comes to.",
                    args: &[
                        ::mitogen_service::__private::ArgSpec {
                            name: "name",
                            type_name: "&str",
                            required: true,
                            default: ::core::option::Option::None,
                        },
                        ::mitogen_service::__private::ArgSpec {
                            name: "by",
                            type_name: "u64",
                            required: false,
                            default: ::core::option::Option::Some("1"),
                        },
                    ],
                    policies: &["AllowAny"],
                    invoker: ::core::option::Option::None,
                    result: "u64",
                    no_reply: false,
                },
                ::mitogen_service::__private::MethodDescriptor {
                    name: "forget",
                    docs: "Forgets a counter.",
                    args: &[
                        ::mitogen_service::__private::ArgSpec {
                            name: "name",
                            type_name: "String",
                            required: true,
                            default: ::core::option::Option::None,
                        },
                    ],
                    policies: &["AllowParents"],
                    invoker: ::core::option::Option::None,
                    result: "()",
                    no_reply: true,
                },
                ::mitogen_service::__private::MethodDescriptor {
                    name: "all",
                    docs: "Everything.",
                    args: &[],
                    policies: &["AllowAny", "Self::is_open"],
                    invoker: ::core::option::Option::None,
                    result: "BTreeMap<String, u64>",
                    no_reply: false,
                },
            ],
        };
        const METHODS: &'static [::mitogen_service::__private::Method<Self>] = &[
            ::mitogen_service::__private::Method {
                authorize: |
                    __service: &Self,
                    __caller: &::mitogen_service::Caller,
                | -> bool {
                    ::mitogen_service::__private::Asked(__service, &AllowAny)
                        .allows(__caller)
                },
                invoke: |
                    __service: &Self,
                    __call: &::mitogen_service::__private::Invocation<'_>,
                | -> ::mitogen_service::__private::Outcome {
                    let __args = __call.args()?;
                    let __arg_name: &str = __args
                        .required(
                            0usize,
                            ::mitogen_service::__private::travels::Value::<&str>::decode,
                        )?;
                    let __arg_by: u64 = __args
                        .or_else(
                            1usize,
                            ::mitogen_service::__private::travels::Value::<u64>::decode,
                            || 1,
                        )?;
                    __call.enter();
                    let __result = <Counters>::add(__service, __arg_name, __arg_by);
                    match __result {
                        ::core::result::Result::Ok(__value) => {
                            __call
                                .reply(
                                    &__value,
                                    ::mitogen_service::__private::travels::Value::<u64>::encode,
                                )
                        }
                        ::core::result::Result::Err(__error) => {
                            ::mitogen_service::__private::failure::must_display(
                                &__error,
                            );
                            ::core::result::Result::Err(
                                (&&&&&&&&::mitogen_service::__private::failure::Failure(
                                    &__error,
                                ))
                                    .to_call_error(),
                            )
                        }
                    }
                },
                invoker: ::core::option::Option::None,
                key: ::core::option::Option::None,
            },
            ::mitogen_service::__private::Method {
                authorize: |
                    __service: &Self,
                    __caller: &::mitogen_service::Caller,
                | -> bool {
                    ::mitogen_service::__private::Asked(__service, &AllowParents)
                        .allows(__caller)
                },
                invoke: |
                    __service: &Self,
                    __call: &::mitogen_service::__private::Invocation<'_>,
                | -> ::mitogen_service::__private::Outcome {
                    let __args = __call.args()?;
                    let __arg_name: String = __args
                        .required(
                            0usize,
                            ::mitogen_service::__private::travels::Value::<
                                String,
                            >::decode,
                        )?;
                    __call.enter();
                    let __result = <Counters>::forget(
                        __service,
                        __arg_name,
                        __call.caller(),
                    );
                    let () = __result;
                    __call.nothing()
                },
                invoker: ::core::option::Option::None,
                key: ::core::option::Option::None,
            },
            ::mitogen_service::__private::Method {
                authorize: |
                    __service: &Self,
                    __caller: &::mitogen_service::Caller,
                | -> bool {
                    ::mitogen_service::__private::Asked(__service, &AllowAny)
                        .allows(__caller)
                        && ::mitogen_service::__private::Asked(__service, &Self::is_open)
                            .allows(__caller)
                },
                invoke: |
                    __service: &Self,
                    __call: &::mitogen_service::__private::Invocation<'_>,
                | -> ::mitogen_service::__private::Outcome {
                    __call.args()?;
                    __call.enter();
                    let __result = <Counters>::all(__service);
                    __call
                        .reply(
                            &__result,
                            ::mitogen_service::__private::travels::Value::<
                                BTreeMap<String, u64>,
                            >::encode,
                        )
                },
                invoker: ::core::option::Option::None,
                key: ::core::option::Option::None,
            },
        ];
        const HOSTING: ::mitogen_service::__private::Hosting<Self> = ::mitogen_service::__private::hosting::<
            Counters,
        >();
        fn invoker() -> ::std::boxed::Box<dyn ::mitogen_service::Invoker> {
            use ::mitogen_service::__private::StructOptions as _;
            match <Counters>::__MITOGEN_SERVICE_INVOKER {
                ::core::option::Option::Some(__make) => __make(),
                ::core::option::Option::None => {
                    ::mitogen_service::__private::default_invoker()
                }
            }
        }
    }
    const _: () = ::core::assert!(
        { use ::mitogen_service::__private::StructOptions as _; ! < Counters >
        ::__MITOGEN_SERVICE_ACTIVATE },
        "`activate` is given on the type as well as on the impl block; write it once"
    );
    const ENTRY: ::mitogen_service::__private::Registration = ::mitogen_service::__private::Registration::new::<
        Counters,
    >(|__scope| {
        use ::mitogen_service::__private::NotHosted as _;
        ::mitogen_service::__private::Host::<
            Counters,
        >::host((::mitogen_service::__private::make_default::<Counters>)(__scope))
    });
    ::mitogen_service::__private::register!(
        REGISTRY : ::mitogen_service::__private::Registration
    );
};
