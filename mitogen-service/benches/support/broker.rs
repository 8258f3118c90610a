//! The plain broker: how one would build a service framework without thinking of latency.
//!
//! On both sides one thread does all the reading, behind epoll. On the calling side it wakes the thread
//! that waits for the reply; on the serving side it puts the call into a queue, from which a pool thread
//! takes it. Both kinds of threads write by themselves, under a lock. A frame begins with the number of
//! its call, and nothing is encoded.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use rustix::event::epoll;
use rustix::io::{Errno, read};

use super::Result;
use super::floor::write_all;
use super::peer::{Frames, Peer};

const POOL: usize = 2;

/// Most that one read takes.
const BUFFER: usize = 64 << 10;

/// The calling side.
pub(crate) struct Client {
    peer: Peer,
    link: Arc<Link>,
    request: usize,
}

struct Link {
    socket: OwnedFd,
    writing: Mutex<()>,
    slots: Vec<Slot>,
}

/// Where one call at a time is waited for.
#[derive(Default)]
struct Slot {
    answered: Mutex<bool>,
    arrival: Condvar,
}

impl Client {
    /// Can have so many calls under way.
    pub(crate) fn new(frames: Frames, slots: usize) -> Result<Self> {
        let (peer, socket) = Peer::over_socket("broker", frames)?;
        let slots = (0..slots).map(|_| Slot::default()).collect();
        let link = Arc::new(Link { socket, writing: Mutex::new(()), slots });
        let reading = link.clone();
        // It ends with the peer, which this process outlives.
        thread::spawn(move || {
            read_frames(&reading.socket, frames.reply, |number| {
                let slot = &reading.slots[number as usize];
                *slot.answered.lock() = true;
                slot.arrival.notify_one();
            })
        });
        Ok(Self { peer, link, request: frames.request })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.peer.pid()
    }

    /// Begins the call of this slot, whose previous one was waited for.
    pub(crate) fn start(&self, slot: usize) -> Result<()> {
        *self.link.slots[slot].answered.lock() = false;
        let mut frame = vec![0; self.request];
        frame[..8].copy_from_slice(&(slot as u64).to_be_bytes());
        let _writing = self.link.writing.lock();
        write_all(&self.link.socket, &frame)
    }

    pub(crate) fn wait(&self, slot: usize) {
        let slot = &self.link.slots[slot];
        let mut answered = slot.answered.lock();
        slot.arrival.wait_while(&mut answered, |answered| !*answered);
    }

    pub(crate) fn call(&self, slot: usize) -> Result<()> {
        self.start(slot)?;
        self.wait(slot);
        Ok(())
    }
}

/// The serving side: this thread reads, and the threads of the pool answer.
pub(crate) fn serve(socket: impl AsFd, frames: Frames) -> Result<()> {
    let socket = Arc::new(socket.as_fd().try_clone_to_owned()?);
    let writing = Arc::new(Mutex::new(()));
    let (queue, calls) = crossbeam_channel::unbounded::<u64>();
    for _ in 0..POOL {
        let (socket, writing, calls) = (socket.clone(), writing.clone(), calls.clone());
        thread::spawn(move || {
            for number in calls {
                let mut frame = vec![0; frames.reply];
                frame[..8].copy_from_slice(&number.to_be_bytes());
                let _writing = writing.lock();
                if write_all(&*socket, &frame).is_err() {
                    return;
                }
            }
        });
    }
    read_frames(&socket, frames.request, |number| {
        let _ = queue.send(number);
    })
}

/// The loop of an I/O thread; gives each frame's number until the other side goes away.
fn read_frames(socket: &OwnedFd, size: usize, mut frame: impl FnMut(u64)) -> Result<()> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poller, socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let mut events = Vec::with_capacity(8);
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        events.clear();
        match epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match read(socket, &mut buffer[filled..]) {
            Ok(0) | Err(Errno::CONNRESET) => return Ok(()),
            Ok(count) => filled += count,
            Err(error) => return Err(error.into()),
        }
        let whole = filled - filled % size;
        for bytes in buffer[..whole].chunks_exact(size) {
            frame(u64::from_be_bytes(bytes[..8].try_into()?));
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}
