#![allow(unused_variables)]

use mitogen_service::{AllowAny, Call, Context, service};

pub struct Files;

#[service(nmae = "files")]
impl Files {
    #[expose]
    fn read(&self, path: String) -> u8 {
        self.private()
    }

    #[expose(policy = AllowAny)]
    fn grow(&mut self, names: &[String]) -> Result<u8, String> {
        Ok(0)
    }

    #[expose(policy = AllowAny)]
    fn sum(&self, (a, b): (u8, u8)) -> u8 {
        a + b
    }

    fn private(&self) -> u8 {
        0
    }
}

struct Fake;

impl FilesApi for Fake {
    fn read(&self, path: String) -> Result<u8, mitogen_service::CallError> {
        Ok(0)
    }
}

// Whatever uses the service compiles all the same.
pub fn uses(context: &Context) -> Call<u8> {
    let stub: FilesStub = Files::stub(context);
    let _sum: u8 = stub.sum((1, 2)).wait().unwrap();
    let _grown: u8 = stub.clone().grow(&[]).wait().unwrap();
    let _is_service = <Files as mitogen_service::Service>::DESCRIPTOR;
    FilesStub::faked(Fake).read(String::new())
}

fn main() {}
