//! Mitogen's `select_test`: a select owns its members here, so that what would be a cycle, a second
//! owner or a member that is not there does not compile or is told by `None`.

use std::time::Duration;

use mitogen_service::{Call, CallError, Error, EventKind, Receiver, Router, Select};

fn router() -> Router {
    Router::builder().build().unwrap()
}

fn with(router: &Router, numbers: impl IntoIterator<Item = u32>) -> Receiver<u32> {
    let receiver = router.receiver();
    numbers.into_iter().for_each(|number| receiver.sender().send(number).unwrap());
    receiver
}

fn is_empty_error(error: &CallError) -> bool {
    error.to_string().starts_with("Cannot get(), Select instance is empty")
}

mod bool_test {
    use super::*;

    #[test]
    fn test_receiver() {
        let select = Select::oneshot();
        assert!(select.is_empty());
        select.add(with(&router(), [1]), 1).unwrap();
        assert!(!select.is_empty());
        select.get().unwrap();
        assert!(select.is_empty());
    }
}

mod add_test {
    use super::*;

    #[test]
    fn test_receiver() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, []), "receiver").unwrap();
        assert_eq!(select.len(), 1);
    }

    #[test]
    fn test_subselect_empty_and_nonempty() {
        let (select, inner, router) = (Select::new(), Select::new(), router());
        inner.add(with(&router, [1]), 1).unwrap();
        select.add(Select::new(), "empty").unwrap();
        select.add(inner, "nonempty").unwrap();
        assert_eq!(select.len(), 2);
        assert_eq!(select.get().unwrap().decode::<u32>().unwrap(), 1);
    }

    #[test]
    fn test_double_add() {
        let (select, router) = (Select::new(), router());
        let other = with(&router, [2]);
        let refused = other.sender();
        select.add(with(&router, [1]), "key").unwrap();
        let error = select.add(other, "key").unwrap_err();
        assert!(matches!(&error, Error::Invalid { .. }) && error.to_string().contains("has this key already"));
        assert!(refused.is_closed(), "what was refused is not half there");
        assert_eq!((select.len(), select.get().unwrap().decode::<u32>().unwrap()), (1, 1));
        assert!(select.try_get().is_none());
    }
}

mod remove_test {
    use super::*;

    #[test]
    fn test_receiver_empty_and_absent() {
        let (select, router) = (Select::new(), router());
        assert!(select.remove("absent").is_none());
        select.add(with(&router, []), "present").unwrap();
        assert!(select.remove("absent").is_none());
    }

    #[test]
    fn test_receiver_present() {
        let (select, router) = (Select::new(), router());
        let receiver = with(&router, [1]);
        let sender = receiver.sender();
        select.add(receiver, 1).unwrap();
        let receiver = select.remove(1).unwrap().into_receiver::<u32>().unwrap();
        assert!(select.is_empty());
        // It tells nobody any more.
        sender.send(2).unwrap();
        assert!(is_empty_error(&select.try_get().unwrap().unwrap_err()));
        assert_eq!([receiver.recv().unwrap(), receiver.recv().unwrap()], [1, 2]);
    }
}

mod close_test {
    use super::*;

    #[test]
    fn test_empty() {
        Select::new().close();
    }

    #[test]
    fn test_one_receiver() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, [1]), 1).unwrap();
        select.close();
        assert!(select.is_empty() && select.try_get().unwrap().is_err());
    }

    #[test]
    fn test_one_subselect() {
        let (select, inner, router) = (Select::new(), Select::new(), router());
        let receiver = with(&router, []);
        let sender = receiver.sender();
        inner.add(receiver, 1).unwrap();
        select.add(inner, 1).unwrap();
        // What is owned goes with its owner.
        select.close();
        assert!(sender.is_closed());
    }
}

mod empty_test {
    use super::*;

    #[test]
    fn test_no_receivers_and_empty_receiver() {
        let (select, router) = (Select::new(), router());
        assert!(is_empty_error(&select.try_get().unwrap().unwrap_err()));
        select.add(with(&router, []), 1).unwrap();
        assert!(select.try_get().is_none());
    }

    #[test]
    fn test_nonempty_receiver_before_and_after_add() {
        let (select, router) = (Select::new(), router());
        let receiver = with(&router, [1]);
        let sender = receiver.sender();
        select.add(receiver, 1).unwrap();
        assert_eq!(select.try_get().unwrap().unwrap().decode::<u32>().unwrap(), 1);
        sender.send(2).unwrap();
        assert_eq!(select.try_get().unwrap().unwrap().decode::<u32>().unwrap(), 2);
    }
}

mod iter_test {
    use super::*;

    #[test]
    fn test_empty() {
        assert_eq!(Select::new().iter().count(), 0);
    }

    #[test]
    fn test_nonempty() {
        let (select, router) = (Select::oneshot(), router());
        select.add(with(&router, [1, 5]), 1).unwrap();
        select.add(with(&router, [2]), 2).unwrap();
        select.add(Call::ready(Ok(3_u32)), 3).unwrap();
        let got: Vec<_> = (&select).into_iter().map(|event| event.decode::<u32>().unwrap()).collect();
        assert_eq!(got, [1, 2, 3]);
    }
}

mod one_shot_test {
    use super::*;

    #[test]
    fn test_true_removed_after_get() {
        let (select, router) = (Select::oneshot(), router());
        let receiver = with(&router, [1]);
        let sender = receiver.sender();
        select.add(receiver, 1).unwrap();
        select.get().unwrap();
        assert!(select.is_empty() && sender.is_closed());
    }

    #[test]
    fn test_true_subselect_removed_after_get() {
        let (select, inner, router) = (Select::oneshot(), Select::new(), router());
        inner.add(with(&router, [1, 2]), 1).unwrap();
        select.add(inner, 1).unwrap();
        assert_eq!(select.iter().count(), 1);
    }

    #[test]
    fn test_false_persists_after_get() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, [1]), 1).unwrap();
        select.get().unwrap();
        assert_eq!(select.len(), 1);
    }
}

mod get_test {
    use super::*;

    #[test]
    fn test_no_receivers_and_timeout_no_receivers() {
        assert!(is_empty_error(&Select::new().get().unwrap_err()));
        assert!(is_empty_error(&Select::new().get_timeout(Duration::from_secs(1)).unwrap_err()));
    }

    #[test]
    fn test_zero_timeout_and_timeout() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, []), 1).unwrap();
        for timeout in [Duration::ZERO, Duration::from_millis(1)] {
            assert!(matches!(select.get_timeout(timeout), Err(CallError::DeadlineExceeded { .. })));
        }
    }

    #[test]
    fn test_nonempty_multiple_items_before_add() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, 0..5), 1).unwrap();
        for number in 0..5 {
            // What is there is given whatever the timeout.
            assert_eq!(select.get_timeout(Duration::ZERO).unwrap().decode::<u32>().unwrap(), number);
        }
        assert!(select.try_get().is_none());
    }
}

mod get_event_test {
    use super::*;

    #[test]
    fn test_receiver() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, [1]), "receiver").unwrap();
        let event = select.get().unwrap();
        assert_eq!(event.key, "receiver");
        assert_eq!(event.caller, Some(router.myself()));
        assert_eq!(event.kind, EventKind::Message);
        assert_eq!(event.decode::<u32>().unwrap(), 1);
    }

    #[test]
    fn test_another_type() {
        let (select, router) = (Select::new(), router());
        select.add(with(&router, [1]), 1).unwrap();
        select.add(Call::ready(Ok(2_u32)), 2).unwrap();
        for _ in 0..2 {
            let error = select.get().unwrap().decode::<String>().unwrap_err();
            assert!(matches!(error, CallError::Malformed { .. }), "{error}");
        }
    }
}
