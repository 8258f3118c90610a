//! Makes the pipes of this process as small as the kernel has them.

use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// All pipes that are open at this moment, those to children included: both ends share the room.
pub(crate) fn shrink() {
    for entry in std::fs::read_dir("/proc/self/fd").expect("/proc is there").flatten() {
        let is_pipe =
            std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"));
        if !is_pipe {
            continue;
        }
        // Another handle of the same pipe, for reading, so that nobody who waits for its end sees a writer more.
        let options = OFlags::NONBLOCK.bits() as i32;
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(options).open(entry.path());
        // It may be closed already, or hold more than that.
        if let Ok(pipe) = opened {
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe, 4096);
        }
    }
}
