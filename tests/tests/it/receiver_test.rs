//! Mitogen's `receiver_test`, and those of `latch_test` that are about a queue and its threads.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mitogen_service::{CallError, Receiver, Router};
use mitogen_service_tests::{LONG, within};

use crate::bench::Bench;
use crate::channel::Feeder;

fn router() -> Router {
    Router::builder().build().unwrap()
}

fn is_closed(error: &CallError) -> bool {
    matches!(error, CallError::Cancelled { reason, .. } if reason == "the Receiver has been closed")
}

fn recv_in_threads(receiver: &Arc<Receiver<u32>>, threads: usize) -> Vec<thread::JoinHandle<Result<u32, CallError>>> {
    let one = |_| {
        let receiver = receiver.clone();
        thread::spawn(move || receiver.recv())
    };
    (0..threads).map(one).collect()
}

mod iteration_test {
    use super::*;

    #[test]
    fn test_dead_stops_iteration() {
        let bench = Bench::new();
        let receiver = bench.router.receiver::<u32>();
        let call = Feeder::stub(&bench.child("child")).count(receiver.sender(), 0, 5);
        assert!(within(LONG, move || receiver.into_iter().eq(0..5)));
        call.wait().unwrap();
    }

    #[test]
    fn test_close_stops_iteration() {
        let router = router();
        let receiver = Arc::new(router.receiver::<u32>());
        let iterating = thread::spawn({
            let receiver = receiver.clone();
            move || receiver.iter().count()
        });
        receiver.close();
        assert_eq!(within(LONG, move || iterating.join().unwrap()), 0);
    }
}

mod close_test {
    use super::*;

    #[test]
    fn test_closes_one_and_all() {
        let router = router();
        for threads in [1, 5] {
            let receiver = Arc::new(router.receiver::<u32>());
            let waiting = recv_in_threads(&receiver, threads);
            receiver.close();
            for thread in waiting {
                assert!(is_closed(&within(LONG, move || thread.join().unwrap()).unwrap_err()));
            }
        }
    }

    #[test]
    fn test_after_close_nothing_is_there_and_nothing_is_sent() {
        let router = router();
        let receiver = router.receiver::<u32>();
        let sender = receiver.sender();
        sender.send(1).unwrap();
        receiver.close();
        receiver.close();
        assert!(receiver.is_empty());
        assert!(is_closed(&receiver.try_recv().unwrap().unwrap_err()));
        assert!(is_closed(&receiver.recv_timeout(Duration::ZERO).unwrap_err()));
        assert!(sender.is_closed() && sender.send(2).is_err() && receiver.sender().send(3).is_err());
    }
}

mod on_receive_test {
    use super::*;

    /// All of them, where Mitogen wakes one.
    #[test]
    fn test_sender_closes_all_threads() {
        let router = router();
        for threads in [1, 5] {
            let receiver = Arc::new(router.receiver::<u32>());
            let waiting = recv_in_threads(&receiver, threads);
            receiver.sender().close();
            for thread in waiting {
                let error = within(LONG, move || thread.join().unwrap()).unwrap_err();
                assert!(error.to_string().contains("Channel closed by remote end."), "{error}");
            }
        }
    }
}

mod latch {
    use super::*;

    #[test]
    fn test_empty_and_nonempty() {
        let router = router();
        let receiver = router.receiver::<Option<u32>>();
        assert!(receiver.is_empty() && receiver.try_recv().is_none());
        assert!(matches!(receiver.recv_timeout(Duration::ZERO), Err(CallError::DeadlineExceeded { .. })));
        // Nothing is a value as well.
        receiver.sender().send(None).unwrap();
        receiver.sender().send(Some(1)).unwrap();
        assert_eq!(receiver.len(), 2);
        assert_eq!(receiver.recv_timeout(Duration::ZERO).unwrap(), None);
        assert_eq!(receiver.try_recv().unwrap().unwrap(), Some(1));
    }

    #[test]
    fn test_five_threads_get_one_item_each_and_none_is_lost() {
        let router = router();
        let receiver = Arc::new(router.receiver::<u32>());
        let waiting = recv_in_threads(&receiver, 5);
        (0..5).for_each(|number| receiver.sender().send(number).unwrap());
        let mut got: Vec<_> =
            within(LONG, move || waiting.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect());
        got.sort();
        assert_eq!(got, [0, 1, 2, 3, 4]);
    }

    /// A wait whose time is over while an item comes must not take the item's wake-up along.
    #[test]
    fn test_timeouts_that_race_with_items_lose_none() {
        let router = router();
        let receiver = Arc::new(router.receiver::<u32>());
        let sender = receiver.sender();
        let getting: Vec<_> = (0..4)
            .map(|at| {
                let receiver = receiver.clone();
                thread::spawn(move || {
                    let mut got = 0_usize;
                    loop {
                        match receiver.recv_timeout(Duration::from_micros(50 * at)) {
                            Ok(_) => got += 1,
                            Err(CallError::DeadlineExceeded { .. }) => {}
                            Err(_) => return got,
                        }
                    }
                })
            })
            .collect();
        (0..20_000).for_each(|number| sender.send(number).unwrap());
        sender.close();
        let got: usize = within(LONG, move || getting.into_iter().map(|thread| thread.join().unwrap()).sum());
        assert_eq!(got, 20_000);
    }
}
