//! More room in a pipe that large messages go through.
//!
//! A pipe holds 64 KiB. While somebody sends much, the two processes at its ends take turns: one of them is
//! woken for each 64 KiB, and with `ssh` in between there are two pipes on each side of the network. In larger
//! ones more is done at a time. Pages are taken from the kernel only while something is in them, but a user
//! may have only so many, 16384 by default: so a pipe is left as it is until a large message goes through it,
//! and a process makes few of them larger.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

/// A message from this size on is a reason.
pub(super) const LARGE: usize = 16 * 1024;

/// What a pipe holds then.
const SIZE: usize = 256 * 1024;

/// How many pipes a process makes larger, at the same time.
const MOST: usize = 16;

/// How many pipes of this process are larger.
static WIDENED: AtomicUsize = AtomicUsize::new(0);

/// The room of one pipe, or of what is no pipe.
pub(super) struct PipeRoom {
    state: AtomicU8,
    widened: &'static AtomicUsize,
}

/// As it was made.
const UNTOUCHED: u8 = 0;
/// It stays so: it is no pipe or large already, or there may be no more of them.
const LEFT: u8 = 1;
/// Made larger.
const WIDENED_ALREADY: u8 = 2;

impl PipeRoom {
    pub(super) fn new() -> Self {
        Self { state: AtomicU8::new(UNTOUCHED), widened: &WIDENED }
    }

    /// A large message goes through the pipe.
    pub(super) fn widen(&self, pipe: impl AsFd) {
        if self.state.load(Ordering::Relaxed) == UNTOUCHED
            && self.state.compare_exchange(UNTOUCHED, LEFT, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && self.try_widen(pipe)
        {
            self.state.store(WIDENED_ALREADY, Ordering::Relaxed);
        }
    }

    fn try_widen(&self, pipe: impl AsFd) -> bool {
        if !fcntl_getpipe_size(&pipe).is_ok_and(|size| size < SIZE) {
            return false;
        }
        let one_more = |widened| (widened < MOST).then_some(widened + 1);
        if self.widened.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return false;
        }
        // The user may have used up the pages.
        let done = fcntl_setpipe_size(&pipe, SIZE).is_ok();
        if !done {
            self.widened.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }
}

impl Drop for PipeRoom {
    fn drop(&mut self) {
        if *self.state.get_mut() == WIDENED_ALREADY {
            self.widened.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(widened: &'static AtomicUsize) -> PipeRoom {
        PipeRoom { state: AtomicU8::new(UNTOUCHED), widened }
    }

    #[test]
    fn a_pipe_is_made_larger_once_and_counted_while_it_is_there() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (read, write) = rustix::pipe::pipe().unwrap();
        let room = room(&COUNT);
        room.widen(&write);
        assert_eq!((fcntl_getpipe_size(&read), COUNT.load(Ordering::Relaxed)), (Ok(SIZE), 1));
        fcntl_setpipe_size(&read, 4096).unwrap();
        room.widen(&write);
        assert_eq!(fcntl_getpipe_size(&read), Ok(4096), "it is somebody else's wish");
        drop(room);
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_no_pipe_or_large_already_stays_as_it_is() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        room(&COUNT).widen(&socket);
        let (read, write) = rustix::pipe::pipe().unwrap();
        fcntl_setpipe_size(&read, 2 * SIZE).unwrap();
        let large = room(&COUNT);
        large.widen(&write);
        assert_eq!((fcntl_getpipe_size(&read), COUNT.load(Ordering::Relaxed)), (Ok(2 * SIZE), 0));
    }

    #[test]
    fn a_process_makes_few_pipes_larger() {
        static COUNT: AtomicUsize = AtomicUsize::new(MOST - 1);
        let pipes: Vec<_> = (0..3).map(|_| (rustix::pipe::pipe().unwrap(), room(&COUNT))).collect();
        for ((_, write), room) in &pipes {
            room.widen(write);
        }
        let large = pipes.iter().filter(|((read, _), _)| fcntl_getpipe_size(read) == Ok(SIZE));
        assert_eq!((large.count(), COUNT.load(Ordering::Relaxed)), (1, MOST));
        drop(pipes);
        assert_eq!(COUNT.load(Ordering::Relaxed), MOST - 1);
    }
}
