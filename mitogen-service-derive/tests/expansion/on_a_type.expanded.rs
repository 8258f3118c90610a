struct Files;
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
    impl Files {
        #[doc(hidden)]
        pub const __MITOGEN_SERVICE_NAME: ::core::option::Option<&'static str> = ::core::option::Option::Some(
            "files",
        );
        #[doc(hidden)]
        pub const __MITOGEN_SERVICE_INVOKER: ::core::option::Option<
            fn() -> ::std::boxed::Box<dyn ::mitogen_service::Invoker>,
        > = ::core::option::Option::Some(|| {
            let invoker = <SerializedInvoker as ::core::default::Default>::default();
            {
                use ::mitogen_service::__private::sharing::ByDefault as _;
                let manner = ::mitogen_service::__private::sharing::Probe(&invoker)
                    .manner();
                ::mitogen_service::__private::sharing::on_a_type(manner);
            }
            ::std::boxed::Box::new(invoker)
        });
        #[doc(hidden)]
        pub const __MITOGEN_SERVICE_INVOKER_NAME: ::core::option::Option<&'static str> = ::core::option::Option::Some(
            "SerializedInvoker",
        );
        #[doc(hidden)]
        pub const __MITOGEN_SERVICE_ACTIVATE: bool = true;
    }
    use ::mitogen_service::__private::{
        allows as __allows, any_allows as __any_allows, apply_check as __apply_check,
        member as __member, NoPolicy as _, NotMaking as _,
    };
    use ::mitogen_service::__private::travels::Unable as _;
    use ::mitogen_service::__private::failure::{
        ByBoxed as _, ByCallError as _, ByDisplay as _, ByNothing as _,
        ByRuntimeError as _, BySource as _, ByTyped as _, ByTypedSource as _,
    };
    const ENTRY: ::mitogen_service::__private::Registration = ::mitogen_service::__private::Registration::new::<
        Files,
    >(|__scope| {
        use ::mitogen_service::__private::NotHosted as _;
        ::mitogen_service::__private::Host::<
            Files,
        >::host((::mitogen_service::__private::make_default::<Files>)(__scope))
    });
    ::mitogen_service::__private::register!(
        REGISTRY : ::mitogen_service::__private::Registration
    );
};
