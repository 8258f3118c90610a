//! Where a service may stand, and what it is called there.

use mitogen_service::{AllowAny, AllowParents, Service, service, testing};

use crate::Served;

mod deep {
    pub(super) mod deeper {
        use mitogen_service::{AllowAny, service};

        pub(in crate::names) struct Same;

        #[service]
        impl Same {
            #[expose(policy = AllowAny)]
            fn depth(&self) -> u8 {
                2
            }
        }

        /// Its methods stand in another module.
        pub(in crate::names) struct Apart;
    }

    mod apart {
        use super::deeper::Apart;
        use mitogen_service::{AllowAny, service};

        #[service(vis = pub(in crate::names))]
        impl Apart {
            #[expose(policy = AllowAny)]
            fn depth(&self) -> u8 {
                3
            }
        }
    }
}

/// The crate under a name of the user, and what is given to methods under paths.
mod renamed {
    pub(in crate::names) use mitogen_service as ms;

    use ms::{AllowAny, service};

    /// Not the runtime's.
    pub(in crate::names) mod other {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(in crate::names) struct Reply<T>(pub(in crate::names) T);

        pub(in crate::names) mod again {
            pub(in crate::names) use mitogen_service::Router;
        }
    }

    pub(in crate::names) struct Paths;

    #[service(crate = self::ms, vis = pub(in crate::names))]
    impl Paths {
        #[self::ms::expose(policy = AllowAny)]
        fn given(
            &self,
            caller: &self::ms::Caller,
            router: &other::again::Router,
            #[self::ms::arg(default)] n: u8,
            reply: self::ms::Reply<String>,
        ) {
            reply.send(Ok(format!("{n} {}", router.myself().id() != caller.context().id())));
        }

        #[expose(policy = AllowAny)]
        fn taken(&self, reply: other::Reply<u8>) -> u8 {
            reply.0
        }
    }
}

#[test]
fn what_a_method_is_given_may_be_written_with_a_path() {
    let served = Served::new(renamed::Paths);
    let stub = renamed::Paths::stub(&served.context);
    assert_eq!(stub.given(5).wait().unwrap(), "5 true");
    assert_eq!(stub.taken(renamed::other::Reply(6)).wait(), Ok(6));
}

struct Same;

#[service]
impl Same {
    #[expose(policy = AllowAny)]
    fn depth(&self) -> u8 {
        0
    }
}

#[test]
fn a_service_is_called_by_the_module_of_its_block() {
    assert_eq!(Same::DESCRIPTOR.name, "service_macro::names::Same");
    assert_eq!(deep::deeper::Same::DESCRIPTOR.name, "service_macro::names::deep::deeper::Same");
    assert_eq!(deep::deeper::Apart::DESCRIPTOR.name, "service_macro::names::deep::apart::Apart");
    let served = Served::new(deep::deeper::Same);
    served.pool.add(Same).unwrap();
    served.pool.add(deep::deeper::Apart).unwrap();
    assert_eq!(deep::deeper::Same::stub(&served.context).depth().wait(), Ok(2));
    assert_eq!(Same::stub(&served.context).depth().wait(), Ok(0));
    assert_eq!(deep::deeper::Apart::stub(&served.context).depth().wait(), Ok(3));
}

#[test]
fn services_inside_of_functions_have_names_of_their_own() {
    #[derive(Default)]
    struct Local;

    #[service(activate)]
    impl Local {
        #[expose(policy = AllowParents)]
        fn which(&self) -> u8 {
            1
        }
    }

    let (parent, _child) = testing::pair();
    let context = &parent.children()[0];
    assert_eq!(Local::stub(context).which().wait(), Ok(1));
    let name = Local::DESCRIPTOR.name;
    assert!(name.starts_with("service_macro::names::{") && name.ends_with("}::Local"), "{name}");
    {
        // Hides the one above, and one of the module besides.
        #[derive(Default)]
        struct Same;

        #[service(activate)]
        impl Same {
            #[expose(policy = AllowParents)]
            fn which(&self) -> u8 {
                2
            }
        }

        assert_eq!(Same::stub(context).which().wait(), Ok(2));
        assert_ne!(Same::DESCRIPTOR.name, super::names::Same::DESCRIPTOR.name);
    }
}

#[test]
fn another_function_may_have_a_service_of_the_same_name() {
    #[derive(Default)]
    struct Local;

    #[service(activate)]
    impl Local {
        #[expose(policy = AllowParents)]
        fn which(&self) -> u8 {
            3
        }
    }

    let (parent, _child) = testing::pair();
    assert_eq!(Local::stub(&parent.children()[0]).which().wait(), Ok(3));
}

/// Raw identifiers, for the type as well.
#[derive(Default)]
#[allow(non_camel_case_types)]
struct r#struct;

#[service]
impl r#struct {
    #[expose(policy = AllowAny)]
    fn r#match(&self, r#in: u8, r#type: &str) -> String {
        format!("{in} {type}", r#in = r#in, r#type = r#type)
    }
}

#[test]
fn raw_names_travel_without_their_mark() {
    assert_eq!(r#struct::DESCRIPTOR.name, "service_macro::names::struct");
    let method = &r#struct::DESCRIPTOR.methods[0];
    assert_eq!((method.name, method.args[0].name, method.args[1].name), ("match", "in", "type"));
    let served = Served::new(r#struct);
    assert_eq!(r#struct::stub(&served.context).r#match(1, "x").wait().unwrap(), "1 x");
}
