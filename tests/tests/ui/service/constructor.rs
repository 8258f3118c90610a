use mitogen_service::{AllowAny, ServiceScope, service};

macro_rules! services {
    ($($name:ident)*) => {
        $(struct $name;)*
    };
}

services!(NoScope Plain Optional Another OnSelf Called NoText);

#[service(activate = Self::new)]
impl NoScope {
    fn new() -> Result<Self, String> {
        Ok(Self)
    }

    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

#[service(activate = Self::new)]
impl Plain {
    fn new(_: &ServiceScope) -> Self {
        Self
    }

    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

#[service(activate = Self::new)]
impl Optional {
    fn new(_: &ServiceScope) -> Option<Self> {
        Some(Self)
    }

    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

#[service(activate = Plain::new)]
impl Another {
    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

#[service(activate = Self::open)]
impl OnSelf {
    fn open(&self, _: &ServiceScope) -> Result<Self, String> {
        Ok(Self)
    }

    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

#[service(activate = Self::new())]
impl Called {
    fn new() -> Self {
        Self
    }

    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

#[service(activate = Self::new)]
impl NoText {
    fn new(_: &ServiceScope) -> Result<Self, ()> {
        Ok(Self)
    }

    #[expose(policy = AllowAny)]
    fn call(&self) {}
}

fn main() {}
