#![allow(unused_imports, unused_variables)]

use mitogen_service::{AllowAny, service};

struct Cache<T>(T);

#[service(activate)]
impl<T> Cache<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Borrowed<'a>(&'a str);

#[service]
impl<'a> Borrowed<'a> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Hidden<'a>(&'a str);

#[service]
impl Hidden<'_> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Plain;

#[service(types = [Plain])]
impl Plain {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Ring<const N: usize>;

#[service(types = [Ring<1>, Plain, Cache<u8>])]
impl<const N: usize> Ring<N> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Empty<T>(T);

#[service(types = [])]
impl<T> Empty<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

#[service(activate, types = [OnType<u8>])]
struct OnType<T>(T);

struct Unused;

#[service]
impl<T> Unused {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
