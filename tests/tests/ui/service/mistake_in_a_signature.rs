use mitogen_service::{AllowAny, Context, function, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn broken(&self, size u8) {}

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn read(&self, #[arg(default)] size: u8) {}
}

// The compiler has told of each of these before a macro sees it.
struct Others;

#[service]
impl Others {
    #[expose(policy = AllowAny)]
    fn no_type(&self, size: ) {}

    #[expose(policy = AllowAny)]
    fn no_result(&self) -> {}

    #[expose(policy = AllowAny)]
    fn read(&self) -> u8 {
        1
    }
}

struct Arrow;

#[service]
impl Arrow {
    #[expose(policy = AllowAny)]
    fn arrow(&self) => u8 {
        1
    }

    #[expose(policy = AllowAny)]
    fun misspelt(&self) {}

    #[expose(policy = AllowAny)]
    fn read(&self) -> u8 {
        1
    }
}

struct Empty;

#[service]
impl Empty {
    #[expose(policy = AllowAny)]
    fn no_body(&self)
}

#[function]
fn no_type(size: ) {}

#[function]
fn read(size u8) {}

fn call(context: &Context) {
    let _ = Files::stub(context).read(1);
    let _ = Others::stub(context).read().wait();
    let _ = Arrow::stub(context).read().wait();
    let _ = Empty::stub(context);
}

#[mitogen_service::main]
fn main(router: ) {}
