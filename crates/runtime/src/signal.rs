//! SIGTERM and SIGINT as something core 0 reads; SIGPIPE ignored.
//!
//! The two are blocked in every thread and arrive through a signalfd in core 0's ring. A thread
//! inherits what is blocked from the one that starts it: threads that were started before
//! [`block`] must call it themselves, or a signal may end the process there. So `main` calls it
//! first of all.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Blocks SIGTERM and SIGINT in the calling thread and those it starts, and ignores SIGPIPE in the
/// process.
///
/// # Errors
/// What the system says; not known to happen.
pub fn block() -> io::Result<()> {
    let set = taken_over();
    // SAFETY: `set` is an initialised signal set.
    let rc = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) };
    if rc != 0 {
        return Err(io::Error::from_raw_os_error(rc));
    }
    // SAFETY: ignoring a signal installs no handler code.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn taken_over() -> libc::sigset_t {
    // SAFETY: a sigset_t is plain bits; `sigemptyset` initialises it, and both signals exist.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        set
    }
}

/// The descriptor that signals arrive at. The ring polls it; reading never blocks.
pub(crate) struct SignalFd(OwnedFd);

impl SignalFd {
    pub fn new() -> io::Result<SignalFd> {
        let set = taken_over();
        // SAFETY: `set` is an initialised signal set; the result is checked.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and ours.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The next signal that has arrived.
    pub fn take(&self) -> Option<i32> {
        // SAFETY: a signalfd_siginfo is plain data, for which zero is a valid value.
        let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
        let size = size_of_val(&info);
        // SAFETY: `info` is writable for `size` bytes.
        let got = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        (got == size as isize).then_some(info.ssi_signo as i32)
    }
}
