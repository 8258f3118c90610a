/// Counts the bytes of a file.
#[allow(non_upper_case_globals)]
static size: ::mitogen_service::Function<
    fn(path: &Path) -> io::Result<u64>,
    dyn for<'mitogen> ::mitogen_service::__private::FunctionSignature<
        'mitogen,
        Args = &'mitogen Path,
        Answer = u64,
    >,
> = {
    enum __MitogenFunction {}
    impl __MitogenFunction {
        fn size(path: &Path) -> io::Result<u64> {
            Ok(fs::metadata(path)?.len())
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
        impl __MitogenFunction {
            const __METHOD: ::mitogen_service::__private::MethodDescriptor = ::mitogen_service::__private::MethodDescriptor {
                name: ::core::concat!(::core::module_path!(), "::", "size"),
                docs: "Counts the bytes of a file.",
                args: &[
                    ::mitogen_service::__private::ArgSpec {
                        name: "path",
                        type_name: "&Path",
                        required: true,
                        default: ::core::option::Option::None,
                    },
                ],
                policies: &["AllowParents"],
                invoker: ::core::option::Option::None,
                result: "u64",
                no_reply: false,
            };
            fn __encode(
                __args: &Path,
                __request: &mut ::mitogen_service::__private::StubRequest,
            ) {
                let __arg_path = __args;
                __request
                    .arg("path", __arg_path, ::mitogen_service::__private::path::encode);
            }
            fn __invoke(
                __call: &::mitogen_service::__private::Invocation<'_>,
            ) -> ::mitogen_service::__private::Outcome {
                let __args = __call.args()?;
                let __arg_path: &Path = __args
                    .required(0usize, ::mitogen_service::__private::path::decode_ref)?;
                __call.enter();
                let __result = __MitogenFunction::size(__arg_path);
                match __result {
                    ::core::result::Result::Ok(__value) => {
                        __call
                            .reply(
                                &__value,
                                ::mitogen_service::__private::travels::Value::<u64>::encode,
                            )
                    }
                    ::core::result::Result::Err(__error) => {
                        ::mitogen_service::__private::failure::must_display(&__error);
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
        const ENTRY: ::mitogen_service::__private::Registered = ::mitogen_service::__private::Registered {
            method: &__MitogenFunction::__METHOD,
            invoke: __MitogenFunction::__invoke,
        };
        ::mitogen_service::__private::register!(
            FUNCTIONS : ::mitogen_service::__private::Registered
        );
    };
    ::mitogen_service::Function::<
        fn(path: &Path) -> io::Result<u64>,
        dyn for<'mitogen> ::mitogen_service::__private::FunctionSignature<
            'mitogen,
            Args = &'mitogen Path,
            Answer = u64,
        >,
    >::new(
        &__MitogenFunction::__METHOD,
        __MitogenFunction::size,
        __MitogenFunction::__encode,
        ::mitogen_service::__private::travels::answer::<u64>,
    )
};
