impl<T: Store> Files<T>
where
    T::Key: Clone,
{
    fn get(&self, key: T::Key) -> Result<T::Value, T::Error> {
        self.store.get(key)
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
impl<T: Store> Files<T>
where
    T::Key: Clone,
    Files<
        T,
    >: ::mitogen_service::__private::travels::Shared
        + ::mitogen_service::__private::Listed,
{
    /// Returns a stub of [`Files`] in another context; calls go there.
    pub fn stub(context: &::mitogen_service::Context) -> FilesStub<T> {
        FilesStub {
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
/// Calls the methods of [`Files`] in another context.
pub struct FilesStub<T: Store>
where
    T::Key: Clone,
    Files<
        T,
    >: ::mitogen_service::__private::travels::Shared
        + ::mitogen_service::__private::Listed,
{
    target: ::mitogen_service::__private::Target<dyn FilesApi<T>>,
}
#[automatically_derived]
impl<T: Store> ::core::clone::Clone for FilesStub<T>
where
    T::Key: Clone,
    Files<
        T,
    >: ::mitogen_service::__private::travels::Shared
        + ::mitogen_service::__private::Listed,
{
    fn clone(&self) -> Self {
        Self {
            target: ::core::clone::Clone::clone(&self.target),
        }
    }
}
#[automatically_derived]
impl<T: Store> ::core::fmt::Debug for FilesStub<T>
where
    T::Key: Clone,
    Files<
        T,
    >: ::mitogen_service::__private::travels::Shared
        + ::mitogen_service::__private::Listed,
{
    fn fmt(&self, __formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        ::core::fmt::Formatter::write_str(__formatter, "FilesStub")
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
impl<T: Store> FilesStub<T>
where
    T::Key: Clone,
    Files<
        T,
    >: ::mitogen_service::__private::travels::Shared
        + ::mitogen_service::__private::Listed,
{
    /// The same stub over a double of [`Files`], for tests of its callers.
    pub fn faked(double: impl FilesApi<T> + 'static) -> Self {
        Self {
            target: ::mitogen_service::__private::Target::<
                dyn FilesApi<T>,
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
    /// Calls the method `get` of [`Files`].
    ///
    /// Policy: `AllowParents`.
    ///
    /// # Errors
    /// The error of the method, `T::Error`, arrives as `CallError::Failed`.
    pub fn get(&self, key: T::Key) -> ::mitogen_service::Call<T::Value> {
        match self.target.resolve() {
            ::mitogen_service::__private::Resolved::Double(__double) => {
                ::mitogen_service::Call::ready(<_ as FilesApi<T>>::get(__double, key))
            }
            ::mitogen_service::__private::Resolved::Context(__remote) => {
                let mut __request = __remote
                    .request(
                        <Files<T> as ::mitogen_service::Service>::DESCRIPTOR,
                        0usize,
                    );
                __request
                    .arg(
                        "key",
                        &key,
                        ::mitogen_service::__private::travels::generic_argument::<
                            T::Key,
                            _,
                        >(::mitogen_service::__private::travels::bounds),
                    );
                __request
                    .call(
                        ::mitogen_service::__private::travels::generic_answer::<
                            T::Value,
                            _,
                        >(::mitogen_service::__private::travels::bounds),
                    )
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
/// What [`Files`] does, for doubles of it: implement what a test needs, and [`FilesStub::faked`] makes a stub of that.
pub trait FilesApi<T: Store>: ::core::marker::Send + ::core::marker::Sync
where
    T::Key: Clone,
    Files<
        T,
    >: ::mitogen_service::__private::travels::Shared
        + ::mitogen_service::__private::Listed,
{
    /// What the method `get` answers; `NoSuchMethod` unless implemented.
    fn get(
        &self,
        key: T::Key,
    ) -> ::core::result::Result<T::Value, ::mitogen_service::CallError> {
        ::mitogen_service::__private::not_faked(
            <Files<T> as ::mitogen_service::Service>::DESCRIPTOR,
            0usize,
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
    impl<T: Store> ::mitogen_service::Service for Files<T>
    where
        T::Key: Clone,
        Files<
            T,
        >: ::mitogen_service::__private::travels::Shared
            + ::mitogen_service::__private::Listed,
    {
        const DESCRIPTOR: &'static ::mitogen_service::__private::ServiceDescriptor = &::mitogen_service::__private::ServiceDescriptor {
            name: <Self as ::mitogen_service::__private::Listed>::NAME,
            type_name: "Files",
            docs: "",
            invoker: {
                use ::mitogen_service::__private::StructOptions as _;
                match <Files<T>>::__MITOGEN_SERVICE_INVOKER_NAME {
                    ::core::option::Option::Some(__name) => __name,
                    ::core::option::Option::None => "ConcurrentInvoker",
                }
            },
            methods: &[
                ::mitogen_service::__private::MethodDescriptor {
                    name: "get",
                    docs: "",
                    args: &[
                        ::mitogen_service::__private::ArgSpec {
                            name: "key",
                            type_name: "T::Key",
                            required: true,
                            default: ::core::option::Option::None,
                        },
                    ],
                    policies: &["AllowParents"],
                    invoker: ::core::option::Option::None,
                    result: "T::Value",
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
                    ::mitogen_service::__private::Asked(__service, &AllowParents)
                        .allows(__caller)
                },
                invoke: |
                    __service: &Self,
                    __call: &::mitogen_service::__private::Invocation<'_>,
                | -> ::mitogen_service::__private::Outcome {
                    let __args = __call.args()?;
                    let __arg_key: T::Key = __args
                        .required(
                            0usize,
                            ::mitogen_service::__private::travels::Value::<
                                T::Key,
                            >::decode,
                        )?;
                    __call.enter();
                    let __result = <Files<T>>::get(__service, __arg_key);
                    match __result {
                        ::core::result::Result::Ok(__value) => {
                            __call
                                .reply(
                                    &__value,
                                    ::mitogen_service::__private::travels::Value::<
                                        T::Value,
                                    >::encode,
                                )
                        }
                        ::core::result::Result::Err(__error) => {
                            match ::mitogen_service::__private::failure::as_call_error(
                                &__error,
                            ) {
                                ::core::option::Option::Some(__error) => {
                                    ::core::result::Result::Err(__error)
                                }
                                ::core::option::Option::None => {
                                    ::mitogen_service::__private::failure::generic_must_display(
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
                        }
                    }
                },
                invoker: ::core::option::Option::None,
                key: ::core::option::Option::None,
            },
        ];
        const HOSTING: ::mitogen_service::__private::Hosting<Self> = ::mitogen_service::__private::hosting::<
            Files<T>,
        >();
        fn invoker() -> ::std::boxed::Box<dyn ::mitogen_service::Invoker> {
            use ::mitogen_service::__private::StructOptions as _;
            match <Files<T>>::__MITOGEN_SERVICE_INVOKER {
                ::core::option::Option::Some(__make) => __make(),
                ::core::option::Option::None => {
                    ::mitogen_service::__private::default_invoker()
                }
            }
        }
    }
    impl ::mitogen_service::__private::Listed for Files<Disk> {
        const NAME: &'static str = ::core::concat!(
            ::core::module_path!(), "::Files<Disk>"
        );
    }
    impl ::mitogen_service::__private::Listed for Files<Memory> {
        const NAME: &'static str = ::core::concat!(
            ::core::module_path!(), "::Files<Memory>"
        );
    }
    const _: () = ::core::assert!(
        { use ::mitogen_service::__private::StructOptions as _; < Files < Disk > >
        ::__MITOGEN_SERVICE_NAME.is_none() },
        "the `name` of a service for several `types` stands beside them: move it here from the type"
    );
    const _: () = ::core::assert!(
        { use ::mitogen_service::__private::StructOptions as _; ! < Files < Disk > >
        ::__MITOGEN_SERVICE_ACTIVATE },
        "`activate` is given on the type as well as on the impl block; write it once"
    );
    const _: () = {
        const ENTRY: ::mitogen_service::__private::Registration = ::mitogen_service::__private::Registration::new::<
            Files<Disk>,
        >(|__scope| {
            use ::mitogen_service::__private::NotHosted as _;
            ::mitogen_service::__private::Host::<
                Files<Disk>,
            >::host(
                ({
                    trait Make: ::core::marker::Sized {
                        fn make(
                            __scope: &::mitogen_service::ServiceScope,
                        ) -> ::core::result::Result<Self, ::mitogen_service::CallError>;
                    }
                    impl Make for Files<Disk> {
                        fn make(
                            __scope: &::mitogen_service::ServiceScope,
                        ) -> ::core::result::Result<Self, ::mitogen_service::CallError> {
                            match ::mitogen_service::__private::Making::<
                                Self,
                                _,
                            >::by(Self::create)
                                .make(__scope)
                            {
                                ::core::result::Result::Ok(__service) => {
                                    ::core::result::Result::Ok(__service)
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
                        }
                    }
                    <Files<Disk> as Make>::make
                })(__scope),
            )
        });
        ::mitogen_service::__private::register!(
            REGISTRY : ::mitogen_service::__private::Registration
        );
    };
    const _: () = {
        const ENTRY: ::mitogen_service::__private::Registration = ::mitogen_service::__private::Registration::new::<
            Files<Memory>,
        >(|__scope| {
            use ::mitogen_service::__private::NotHosted as _;
            ::mitogen_service::__private::Host::<
                Files<Memory>,
            >::host(
                ({
                    trait Make: ::core::marker::Sized {
                        fn make(
                            __scope: &::mitogen_service::ServiceScope,
                        ) -> ::core::result::Result<Self, ::mitogen_service::CallError>;
                    }
                    impl Make for Files<Memory> {
                        fn make(
                            __scope: &::mitogen_service::ServiceScope,
                        ) -> ::core::result::Result<Self, ::mitogen_service::CallError> {
                            match ::mitogen_service::__private::Making::<
                                Self,
                                _,
                            >::by(Self::create)
                                .make(__scope)
                            {
                                ::core::result::Result::Ok(__service) => {
                                    ::core::result::Result::Ok(__service)
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
                        }
                    }
                    <Files<Memory> as Make>::make
                })(__scope),
            )
        });
        ::mitogen_service::__private::register!(
            REGISTRY : ::mitogen_service::__private::Registration
        );
    };
};
