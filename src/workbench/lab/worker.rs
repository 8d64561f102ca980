//! A thread of the laboratory that sleeps in poll and ends when its owner is dropped.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Owns the thread; dropping it wakes the thread by the bell and waits for its end.
pub struct Worker {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

/// What a thread polls to hear that it shall end, or that its orders changed.
pub struct Bell {
    event: EventFd,
    ended: std::sync::atomic::AtomicBool,
}

impl Worker {
    /// Starts `work` on a thread called `lab-NAME`. It must poll the bell (readable means: call
    /// [`Bell::answered`]) and return once that says so.
    ///
    /// # Errors
    /// If the thread or its bell cannot be made.
    pub fn start(name: &str, work: impl FnOnce(&Bell) + Send + 'static) -> io::Result<Self> {
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let bell = Arc::new(Bell { event, ended: false.into() });
        let theirs = Arc::clone(&bell);
        let thread = thread::Builder::new().name(format!("lab-{name}")).spawn(move || work(&theirs))?;
        Ok(Self { bell, thread: Some(thread) })
    }

    /// Wakes the thread, because something that it must look at has changed.
    pub fn ring(&self) {
        self.bell.ring();
    }
}

impl Bell {
    /// Silences the bell; true when the thread shall end.
    pub fn answered(&self) -> bool {
        // EAGAIN only says that the bell was silent already.
        let _ = self.event.read();
        self.ended.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn ring(&self) {
        // Fails only when the counter is at its end, and then the bell rings all the same.
        let _ = self.event.write(1);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.bell.ended.store(true, std::sync::atomic::Ordering::SeqCst);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been printed; a second one while unwinding would abort.
            let _ = thread.join();
        }
    }
}
