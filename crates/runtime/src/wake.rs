//! How one core wakes another that sleeps in its ring: by a message posted into that ring, or,
//! where the kernel refuses such messages, by an eventfd that the other core's ring polls.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::config::WakeBy;
use crate::mesh::Mesh;
use crate::ring::Ring;

pub(crate) struct Waker {
    /// The eventfd that wakes this core, where that is the way.
    event: Option<OwnedFd>,
    mesh: Arc<Mesh>,
    pub sent: u64,
    /// A peer that slept was woken in this turn.
    pub woke: bool,
}

impl Waker {
    /// # Errors
    /// An eventfd is needed and cannot be had.
    pub fn new(by: WakeBy, ring: &Ring, mesh: Arc<Mesh>) -> io::Result<Waker> {
        let event = match by {
            WakeBy::Ring if ring.messages => None,
            WakeBy::Ring | WakeBy::EventFd => Some(eventfd()?),
        };
        if event.is_some() {
            mesh.set_wakes_by_event();
        }
        Ok(Waker { event, mesh, sent: 0, woke: false })
    }

    /// What the other cores must know in order to wake this one.
    pub fn address(&self, ring: &Ring) -> RawFd {
        self.event.as_ref().map_or_else(|| ring.fd(), |event| event.as_raw_fd())
    }

    /// The eventfd that this core's ring must poll.
    pub fn event_fd(&self) -> Option<RawFd> {
        self.event.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Wakes core `to`: with the turn's submission, or at once by eventfd. (All cores of a runtime
    /// use one way: they run on one kernel.)
    #[inline]
    pub fn wake(&mut self, ring: &mut Ring, to: usize) {
        self.sent += 1;
        self.woke = true;
        let fd = self.mesh.wake_fd(to);
        if self.event.is_none() {
            ring.push_wake(fd, to as u32);
        } else {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the buffer is readable for its length. The descriptor stays open until all
            // cores have left their loops.
            unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
        }
    }

    /// Empties the eventfd after it was rung.
    pub fn drain(&self) {
        if let Some(event) = &self.event {
            let mut count = [0u8; 8];
            // SAFETY: the buffer is writable for its length; the descriptor does not block.
            unsafe { libc::read(event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        }
    }
}

fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: plain call; the result is checked.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
