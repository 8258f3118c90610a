//! How many instructions the parts of a call take that do no I/O, for a counter to look at from outside.
//!
//! `.ci/instructions` builds this with `--cfg fuzzing`, as what it measures is not public, and runs it
//! under callgrind, which counts inside of one function here.
#![forbid(unsafe_code)]

#[cfg(not(fuzzing))]
fn main() {
    println!("instructions are counted by `.ci/instructions`");
}

#[cfg(fuzzing)]
fn main() {
    counted::main();
}

#[cfg(fuzzing)]
mod counted {
    use std::sync::Mutex;
    use std::thread;

    use mitogen_service::__private::value;
    use mitogen_service::fuzzing::{self, Frames, Routes, Verdict};
    use mitogen_service::{AllowAny, ArgSpec, Authorized, Call, Invoker, Pool, Router, Service, service};
    use serde::Serialize;

    /// How often each is done; a part of what the script divides by.
    const TIMES: usize = 1000;

    const TEXT: &str = "0123456789abcdefghijklmnopqrstuv";

    pub(super) fn main() {
        let part = std::env::args().nth(1);
        match part.as_deref() {
            Some("encode") => encode(),
            Some("decode") => decode(),
            Some("dispatch") => dispatch(),
            Some("route") => route(),
            other => panic!("there is no part {other:?}: encode, decode, dispatch, route"),
        }
    }

    /// The function that the counter counts in.
    #[inline(never)]
    fn only_this_is_counted(work: &mut dyn FnMut()) {
        for _ in 0..TIMES {
            work();
        }
    }

    // ---- what is called ----

    /// Keeps calls, so that they run where and when they are counted.
    #[derive(Default)]
    struct Keep;

    static KEPT: Mutex<Vec<Authorized>> = Mutex::new(Vec::new());

    impl Invoker for Keep {
        fn invoke(&self, call: Authorized) {
            KEPT.lock().unwrap().push(call);
        }
    }

    struct Sum;

    #[service(invoker = Keep)]
    impl Sum {
        #[expose(policy = AllowAny)]
        fn sum(&self, number: u64, text: &str) -> u64 {
            number + text.len() as u64
        }
    }

    /// The arguments, as they are written.
    #[derive(Serialize)]
    struct Arguments {
        number: u64,
        text: &'static str,
    }

    fn call_payload() -> Vec<u8> {
        let mut args = Vec::new();
        value::encode(&Arguments { number: 70_000, text: TEXT }, &mut args).unwrap();
        fuzzing::write_call(Sum::DESCRIPTOR.name, "sum", &args)
    }

    fn reply_payload() -> Vec<u8> {
        let mut result = Vec::new();
        value::encode(&70_032u64, &mut result).unwrap();
        fuzzing::write_reply(Ok(&result))
    }

    // ---- the parts ----

    /// The payloads of a call and of its reply.
    fn encode() {
        only_this_is_counted(&mut || {
            assert!(!call_payload().is_empty());
            assert!(!reply_payload().is_empty());
        });
    }

    /// Frames out of a stream; then the call, its arguments, and the reply.
    fn decode() {
        let (call, reply) = (call_payload(), reply_payload());
        let stream = [frame(&call), frame(&reply)].concat();
        only_this_is_counted(&mut || {
            let mut taken = Taken::default();
            let rest = fuzzing::frames(1 << 20, &stream, &mut taken);
            assert!(rest.failed.is_none() && taken.messages == 2);
            let (service, method, args) = fuzzing::call_alone(&call).unwrap();
            assert_eq!((service, method), (Sum::DESCRIPTOR.name, "sum"));
            let specs: &'static [ArgSpec] = Sum::DESCRIPTOR.methods[0].args;
            let args = fuzzing::arguments(specs, args).unwrap();
            assert_eq!(args.required(0, value::decode::<u64>).unwrap(), 70_000);
            assert_eq!(args.required(1, value::decode::<&str>).unwrap(), TEXT);
            let result = fuzzing::reply(&reply).unwrap().unwrap();
            assert_eq!(value::decode::<u64>(result).unwrap(), 70_032);
        });
    }

    #[derive(Default)]
    struct Taken {
        messages: usize,
    }

    impl Frames for Taken {
        fn piece(&mut self) -> usize {
            64 << 10
        }

        fn discards(&mut self, _: &[u8]) -> bool {
            false
        }

        fn message(&mut self, _: &[u8], _: &[u8]) {
            self.messages += 1;
        }
    }

    /// A header of 26 bytes, and the payload; see `docs/protocol.md`.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let [dst, src, auth, handle, reply_to] = [1u32, 0, 0, 110, 1000].map(u32::to_be_bytes);
        let length = (payload.len() as u32).to_be_bytes();
        [&[0x4d, 0x50], &dst[..], &src, &auth, &handle, &reply_to, &length, payload].concat()
    }

    /// From a call that every policy has agreed to, through its method, to its answer at the caller.
    fn dispatch() {
        let router = Router::builder().build().unwrap();
        let pool = Pool::builder(&router).size(1).service(Sum).start().unwrap();
        let stub = Sum::stub(&router.myself());
        let calls: Vec<Call<u64>> = (0..TIMES).map(|_| stub.sum(70_000, TEXT)).collect();
        while KEPT.lock().unwrap().len() < TIMES {
            thread::yield_now();
        }
        let mut kept = std::mem::take(&mut *KEPT.lock().unwrap()).into_iter();
        only_this_is_counted(&mut || kept.next().unwrap().run());
        for call in calls {
            assert_eq!(call.wait().unwrap(), 70_032);
        }
        pool.stop();
    }

    /// What a hop decides about a frame.
    fn route() {
        const CHILDREN: u32 = 16;
        let mut routes = Routes::new(0, &[], false);
        for child in 1..=CHILDREN {
            let id = routes.take_id().unwrap();
            routes.add_child(child.into(), id);
        }
        let ids = routes.children();
        let mut turn = 0;
        only_this_is_counted(&mut || {
            let (from, to) = (turn % ids.len(), (turn + 7) % ids.len());
            turn += 1;
            let verdict = routes.judge(ids[to], [ids[from]; 2], true, Some(from as u64 + 1));
            assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
        });
    }
}
