#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files<T>(T);

// What the compiler proposes are traits of the user or none at all.
#[service]
impl<T: Send + Sync + 'static> Files<T> {
    #[expose(policy = AllowAny)]
    fn write(&self, value: T) {}

    #[expose(policy = AllowAny)]
    fn read(&self) -> Vec<T> {
        Vec::new()
    }
}

struct Failing<T>(T);

#[service]
impl<T: Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static> Failing<T> {
    #[expose(policy = AllowAny)]
    fn write(&self) -> Result<(), T> {
        Ok(())
    }

    #[expose(policy = AllowAny)]
    fn read(&self, #[arg(default)] value: T) {}
}

fn main() {}
