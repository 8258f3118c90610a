//! Mitogen's `signals_test`: the one signal that a context has is its end.

use std::sync::mpsc;

use mitogen_service_tests::LONG;

use crate::bench::Bench;

mod listen_fire_test {
    use super::*;

    #[test]
    fn test_no_args() {
        let bench = Bench::new();
        let child = bench.child("child");
        let (tell, told) = mpsc::channel();
        let _subscription = child.on_disconnect(move || tell.send(()).unwrap());
        assert!(told.try_recv().is_err(), "nothing has happened yet");
        child.kill().unwrap();
        told.recv_timeout(LONG).unwrap();
        assert!(told.recv_timeout(LONG).is_err(), "the callback has run once, and is gone");
    }

    /// What it is to be told is its own.
    #[test]
    fn test_with_args() {
        let bench = Bench::new();
        let child = bench.child("child");
        let (tell, told) = mpsc::channel();
        let args = ("text".to_owned(), vec![1, 2, 3], child.clone());
        let _subscription = child.on_disconnect(move || tell.send(args).unwrap());
        child.kill().unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap(), ("text".to_owned(), vec![1, 2, 3], child));
    }

    #[test]
    fn test_two_listeners() {
        let bench = Bench::new();
        let (child, other) = (bench.child("child"), bench.child("other"));
        let (tell, told) = mpsc::channel();
        let listen = |context: &mitogen_service::Context, name: &'static str| {
            let tell = tell.clone();
            context.on_disconnect(move || tell.send(name).unwrap())
        };
        let subscriptions =
            [listen(&child, "first"), listen(&child, "second"), listen(&child.clone(), "of another value")];
        let of_other = listen(&other, "other");
        child.kill().unwrap();
        let names = [(); 3].map(|()| told.recv_timeout(LONG).unwrap());
        assert_eq!(names, ["first", "second", "of another value"], "in the order in which they asked");
        assert!(told.try_recv().is_err(), "the other context lives");
        // One that comes later is told at once.
        listen(&child, "late").detach();
        assert_eq!(told.recv_timeout(LONG).unwrap(), "late");
        drop((subscriptions, of_other));
        other.kill().unwrap();
        drop(tell);
        assert!(told.recv_timeout(LONG).is_err(), "who does not listen any more is not told");
    }
}
