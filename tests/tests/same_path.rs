//! Two functions of one path: no pool of the program starts, whoever makes it.
#![forbid(unsafe_code)]

use mitogen_service::{Error, Pool, Router, function, testing};

fn one() -> &'static str {
    #[function]
    fn same() {}
    same.name()
}

fn other() -> &'static str {
    #[function]
    fn same(_number: u8) {}
    same.name()
}

#[test]
fn two_functions_of_one_path_let_no_pool_start() {
    assert_eq!((one(), other()), ("same_path::same", "same_path::same"));
    let router = Router::builder().build().unwrap();
    let error = Pool::builder(&router).start().unwrap_err();
    let Error::Invalid { what } = &error else { panic!("{error:?}") };
    assert!(what.starts_with("there are two functions `same_path::same` marked `#[function]`"), "{what}");
    assert!(router.pool().is_none());
}

#[test]
fn a_child_says_so_too() {
    let (parent, _child) = testing::pair();
    let error = parent.children()[0].call_service::<()>("mitogen_service::function", one(), &()).wait().unwrap_err();
    assert!(error.to_string().contains("two functions `same_path::same`"), "{error}");
}
