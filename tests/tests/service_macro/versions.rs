//! Two versions of one service: the stub of one calls the other.

use std::collections::BTreeMap;

use mitogen_service::CallError;

use crate::Served;

mod old {
    use mitogen_service::{AllowAny, service};

    /// The service as it was.
    pub(super) struct Copier;

    #[service(name = "copier")]
    impl Copier {
        #[expose(policy = AllowAny)]
        fn copy(&self, from: String, to: String) -> String {
            format!("{from} to {to}")
        }

        #[expose(policy = AllowAny)]
        fn gone(&self) {}
    }
}

mod new {
    use mitogen_service::{AllowAny, service};

    /// The service with more arguments, all of which may be left out, in another order.
    pub(super) struct Copier;

    #[service(name = "copier")]
    impl Copier {
        #[expose(policy = AllowAny)]
        fn copy(
            &self,
            mode: Option<u32>,
            to: String,
            #[arg(default = 1)] times: u8,
            from: String,
            #[arg(default)] tags: Vec<String>,
        ) -> String {
            format!("{from} to {to}, {mode:?} {times} {tags:?}")
        }
    }
}

#[test]
fn an_optional_argument_more_breaks_no_old_caller() {
    let served = Served::new(new::Copier);
    let stub = old::Copier::stub(&served.context);
    assert_eq!(stub.copy("a".to_owned(), "b".to_owned()).wait().unwrap(), "a to b, None 1 []");
    let gone = stub.gone().wait().unwrap_err();
    assert!(matches!(&gone, CallError::NoSuchMethod { method, .. } if method == "gone"), "{gone:?}");
}

#[test]
fn an_old_service_names_the_argument_that_it_does_not_know() {
    let served = Served::new(old::Copier);
    let stub = new::Copier::stub(&served.context);
    let error = stub.copy(None, "b".to_owned(), 1, "a".to_owned(), vec![]).wait().unwrap_err();
    match &error {
        CallError::ArgUnknown { name, known, .. } => {
            assert_eq!(name, "mode");
            assert_eq!(known[..], ["from", "to"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_order_of_arguments_does_not_matter_and_their_names_do() {
    let served = Served::new(old::Copier);
    let call = |args: &[(&str, &str)]| {
        let args: BTreeMap<_, _> = args.iter().copied().collect();
        served.raw::<String>("copier", "copy", &args)
    };
    assert_eq!(call(&[("to", "b"), ("from", "a")]).unwrap(), "a to b");
    let fewer = call(&[("to", "b")]).unwrap_err();
    assert!(matches!(&fewer, CallError::ArgMissing { name, .. } if name == "from"), "{fewer:?}");
    let more = call(&[("to", "b"), ("from", "a"), ("form", "c")]).unwrap_err();
    assert!(matches!(&more, CallError::ArgUnknown { name, .. } if name == "form"), "{more:?}");
}
