//! The physical floors: two processes that do nothing but read and write.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, read, write};

use super::Result;
use super::peer::{Frames, Peer};

/// One call after the other over blocking descriptors, without any thread in between.
pub(crate) struct Echo {
    peer: Peer,
    read: OwnedFd,
    /// The same as `read` for a socket.
    write: Option<OwnedFd>,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Echo {
    pub(crate) fn over_socket(frames: Frames) -> Result<Self> {
        let (peer, socket) = Peer::over_socket("echo", frames)?;
        Ok(Self::new(peer, socket, None, frames))
    }

    pub(crate) fn over_pipes(frames: Frames) -> Result<Self> {
        let (peer, [read, write]) = Peer::over_pipes("echo-pipes", frames)?;
        Ok(Self::new(peer, read, Some(write), frames))
    }

    fn new(peer: Peer, read: OwnedFd, write: Option<OwnedFd>, frames: Frames) -> Self {
        Self { peer, read, write, request: vec![0; frames.request], reply: vec![0; frames.reply] }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.peer.pid()
    }

    pub(crate) fn call(&mut self, number: u64) -> Result<()> {
        self.request[..8].copy_from_slice(&number.to_be_bytes());
        write_all(self.write.as_ref().unwrap_or(&self.read), &self.request)?;
        if !read_exact(&self.read, &mut self.reply)? {
            return Err("the other side of a floor has ended".into());
        }
        assert_eq!(self.reply[..8], number.to_be_bytes(), "the reply to another request");
        Ok(())
    }
}

/// Answers each request with a reply that begins like it.
pub(crate) fn serve_echo(input: impl AsFd, output: impl AsFd, frames: Frames) -> Result<()> {
    let (mut request, mut reply) = (vec![0; frames.request], vec![0; frames.reply]);
    while read_exact(&input, &mut request)? {
        reply[..8].copy_from_slice(&request[..8]);
        write_all(&output, &reply)?;
    }
    Ok(())
}

/// How much may be on its way that was not acknowledged, as for a `Sender`.
const WINDOW: usize = 1 << 20;

/// Messages from the other process to this one, over a blocking socket.
pub(crate) struct Bulk {
    peer: Peer,
    socket: OwnedFd,
    message: Vec<u8>,
}

impl Bulk {
    pub(crate) fn new(message: usize) -> Result<Self> {
        let (peer, socket) = Peer::over_socket("bulk", Frames { request: 8, reply: message })?;
        Ok(Self { peer, socket, message: vec![0; message] })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.peer.pid()
    }

    /// Asks for so many messages, takes them, and acknowledges each.
    pub(crate) fn receive(&mut self, count: usize) -> Result<()> {
        write_all(&self.socket, &(count as u64).to_be_bytes())?;
        for number in 0..count as u64 {
            if !read_exact(&self.socket, &mut self.message)? {
                return Err("the other side of a floor has ended".into());
            }
            assert_eq!(self.message[..8], number.to_be_bytes(), "a message is missing");
            write_all(&self.socket, &[0])?;
        }
        Ok(())
    }
}

/// Sends as many messages as it is asked for, and never has more than the window on its way.
pub(crate) fn serve_bulk(socket: impl AsFd, frames: Frames) -> Result<()> {
    let mut request = [0; 8];
    let mut message = vec![0; frames.reply];
    let window = (WINDOW / frames.reply).max(1);
    while read_exact(&socket, &mut request)? {
        let count = u64::from_be_bytes(request);
        let mut unacknowledged = 0;
        let mut acks = vec![0; window];
        for number in 0..count {
            while unacknowledged == window {
                unacknowledged -= read_some(&socket, &mut acks)?;
            }
            message[..8].copy_from_slice(&number.to_be_bytes());
            write_all(&socket, &message)?;
            unacknowledged += 1;
        }
        while unacknowledged > 0 {
            // No more than what is missing: the next request follows.
            unacknowledged -= read_some(&socket, &mut acks[..unacknowledged])?;
        }
    }
    Ok(())
}

fn read_some(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match read(&fd, &mut *buffer) {
            Ok(0) => return Err("the other side of a floor has ended".into()),
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Fills the buffer; `false` at the end of the stream.
pub(crate) fn read_exact(fd: impl AsFd, mut buffer: &mut [u8]) -> Result<bool> {
    while !buffer.is_empty() {
        match read(&fd, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET) => return Ok(false),
            Ok(count) => buffer = &mut buffer[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

pub(crate) fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
