impl Files {
    fn read(&self, path: &Path) -> io::Result<Blob> {
        Ok(fs::read(path)?.into())
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
impl Files {
    /// Returns a stub of [`Files`] in another context; calls go there.
    pub fn stub(context: &::mitogen_service::Context) -> FilesStub {
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
pub struct FilesStub {
    target: ::mitogen_service::__private::Target<dyn FilesApi>,
}
#[automatically_derived]
impl ::core::clone::Clone for FilesStub {
    fn clone(&self) -> Self {
        Self {
            target: ::core::clone::Clone::clone(&self.target),
        }
    }
}
#[automatically_derived]
impl ::core::fmt::Debug for FilesStub {
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
impl FilesStub {
    /// The same stub over a double of [`Files`], for tests of its callers.
    pub fn faked(double: impl FilesApi + 'static) -> Self {
        Self {
            target: ::mitogen_service::__private::Target::<
                dyn FilesApi,
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
    /// Calls the method `read` of [`Files`].
    pub fn read(&self, path: &Path) -> ::mitogen_service::Call<Blob> {
        ::mitogen_service::__private::macro_failed()
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
pub trait FilesApi: ::core::marker::Send + ::core::marker::Sync {
    /// What the method `read` answers; `NoSuchMethod` unless implemented.
    fn read(
        &self,
        path: &Path,
    ) -> ::core::result::Result<Blob, ::mitogen_service::CallError> {
        ::mitogen_service::__private::macro_failed()
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
    impl ::mitogen_service::Service for Files {
        const DESCRIPTOR: &'static ::mitogen_service::__private::ServiceDescriptor = &::mitogen_service::__private::ServiceDescriptor {
            name: "Files",
            type_name: "Files",
            docs: "",
            invoker: "",
            methods: &[],
        };
        const METHODS: &'static [::mitogen_service::__private::Method<Self>] = &[];
        const HOSTING: ::mitogen_service::__private::Hosting<Self> = ::mitogen_service::__private::unhosted();
        fn invoker() -> ::std::boxed::Box<dyn ::mitogen_service::Invoker> {
            ::mitogen_service::__private::macro_failed()
        }
    }
};
::core::compile_error! {
    "unknown option `polcy` of `#[expose]`; did you mean `policy`? the known options are `policy`, `invoker`"
}
