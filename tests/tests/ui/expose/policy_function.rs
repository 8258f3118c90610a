use mitogen_service::{AllowSelf, AnyOf, Caller, service};

fn of_text(_: &str, _: &Caller) -> bool {
    true
}

struct Files;

#[service]
impl Files {
    fn is_open(&self) -> bool {
        true
    }

    fn verdict(&self, _: &Caller) -> Result<(), String> {
        Ok(())
    }

    fn ends(self, _: &Caller) -> bool {
        true
    }

    fn owns(&self, _: Caller) -> bool {
        true
    }

    fn at(&self, _: &Caller, _: &str) -> bool {
        true
    }

    #[expose(policy = Self::is_open)]
    fn no_caller(&self) {}

    #[expose(policy = of_text)]
    fn another_service(&self) {}

    #[expose(policy = Self::verdict)]
    fn result(&self) {}

    #[expose(policy = Self::ends)]
    fn by_value(&self) {}

    #[expose(policy = Self::owns)]
    fn caller_by_value(&self) {}

    #[expose(policy = Self::at)]
    fn one_too_many(&self) {}

    #[expose(policy = AnyOf((AllowSelf, Self::verdict)))]
    fn in_a_tuple(&self) {}

    #[expose(policy = AnyOf((Self::is_open, of_text)))]
    fn both_in_a_tuple(&self) {}
}

fn main() {}
