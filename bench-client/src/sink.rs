//! Where the bytes of `bulk` end: taken, counted, thrown away.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;

use mitogen_service::{AllowParents, Blob, Router, Sender, service};

#[derive(Default)]
pub(crate) struct Sink {
    /// How many bytes have come, once their sender is done.
    taken: Mutex<Option<mpsc::Receiver<u64>>>,
}

#[service(activate)]
impl Sink {
    /// Begins to take bytes.
    #[expose(policy = AllowParents)]
    fn open(&self, router: &Router) -> Sender<Blob> {
        let chunks = router.receiver::<Blob>();
        let sender = chunks.sender();
        let (tell, taken) = mpsc::channel();
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        thread::spawn(move || {
            let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
            // Nobody may want to know.
            let _ = tell.send(bytes);
        });
        sender
    }

    /// Waits until the sender is done, and tells how many bytes have come.
    #[expose(policy = AllowParents)]
    fn taken(&self) -> Result<u64, String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let taken = taken.ok_or("nothing was opened")?;
        taken.recv().map_err(|_| "the thread that takes the bytes has ended".to_owned())
    }
}
