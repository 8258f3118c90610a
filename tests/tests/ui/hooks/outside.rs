//! The attributes of a service's methods stand outside of a service.

struct Clock;

impl Clock {
    #[mitogen_service::on_start]
    fn begin(&self) {}

    #[mitogen_service::on_message(policy = AllowAny)]
    fn take(&self) {}

    #[mitogen_service::on_shutdown]
    fn end(&self) {}
}

fn main() {}
