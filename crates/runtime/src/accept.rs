//! Accepting: one multishot accept per listener of the core.
//!
//! When descriptors or memory run out the accept ends with an error; arming it again at once would
//! spin. So it rests until one of the core's connections was closed, or for `BACKOFF_US`; only in
//! this state does the runtime ask for a wake-up of its own.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::opcode;
use io_uring::types::Fd;

use crate::app::{PeerInfo, PeerKind};
use crate::listen::{self, UnixSocket};
use crate::ring::{Op, Ring, Tag};

const BACKOFF_US: u64 = 100_000;

#[derive(Default)]
pub(crate) struct Acceptor {
    listeners: Vec<Listener>,
    /// When to arm again what an error has ended.
    retry_at: Option<u64>,
}

struct Listener {
    /// `None`: removed; the place is not used again.
    socket: Option<Socket>,
    armed: bool,
}

enum Socket {
    Tcp { fd: OwnedFd, addr: SocketAddr, spread: bool },
    Unix(UnixSocket),
}

impl Socket {
    fn fd(&self) -> &OwnedFd {
        match self {
            Socket::Tcp { fd, .. } => fd,
            Socket::Unix(unix) => &unix.fd,
        }
    }
}

/// An accepted connection.
pub(crate) struct Accepted {
    pub fd: OwnedFd,
    pub peer: PeerInfo,
}

impl Acceptor {
    /// Adds the listeners bound before the start. Nothing is armed yet. The unix socket has the
    /// same number on all cores; only core 0 has it. What `own` accepts stays on this core.
    pub fn new(tcp: Vec<(OwnedFd, SocketAddr)>, unix: Option<UnixSocket>, own: Vec<(OwnedFd, SocketAddr)>) -> Acceptor {
        let tcp = tcp.into_iter().map(|(fd, addr)| Some(Socket::Tcp { fd, addr, spread: true }));
        let own = own.into_iter().map(|(fd, addr)| Some(Socket::Tcp { fd, addr, spread: false }));
        let sockets = tcp.chain([unix.map(Socket::Unix)]).chain(own);
        let listeners = sockets.map(|socket| Listener { socket, armed: false }).collect();
        Acceptor { listeners, retry_at: None }
    }

    pub fn add_tcp(&mut self, ring: &mut Ring, addr: SocketAddr, fd: OwnedFd, spread: bool) -> usize {
        let addr = listen::local_addr(fd.as_raw_fd()).unwrap_or(addr);
        self.listeners.push(Listener { socket: Some(Socket::Tcp { fd, addr, spread }), armed: false });
        self.arm(ring);
        self.listeners.len() - 1
    }

    pub fn remove_tcp(&mut self, ring: &mut Ring, wanted: SocketAddr) -> bool {
        let mut found = false;
        for place in 0..self.listeners.len() {
            if matches!(&self.listeners[place].socket, Some(Socket::Tcp { addr, .. }) if *addr == wanted) {
                self.remove(ring, place);
                found = true;
            }
        }
        found
    }

    pub fn remove_all(&mut self, ring: &mut Ring) {
        for place in 0..self.listeners.len() {
            self.remove(ring, place);
        }
    }

    fn remove(&mut self, ring: &mut Ring, place: usize) {
        let listener = &mut self.listeners[place];
        if listener.socket.take().is_some() && listener.armed {
            // The armed accept holds the socket open until it is cancelled.
            ring.push_cancel(Tag::new(Op::Accept, place as u32, 0));
        }
    }

    pub fn set_keepalive(&mut self, seconds: u32) {
        for listener in &self.listeners {
            if let Some(Socket::Tcp { fd, addr, .. }) = &listener.socket
                && let Err(error) = listen::set_keepalive(fd, seconds)
            {
                tracing::warn!(%error, %addr, "cannot set keepalive");
            }
        }
    }

    /// Arms all listeners that are not.
    pub fn arm(&mut self, ring: &mut Ring) {
        self.retry_at = None;
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(socket) = &listener.socket
                && !listener.armed
            {
                listener.armed = true;
                let entry = opcode::AcceptMulti::new(Fd(socket.fd().as_raw_fd()))
                    .flags(libc::SOCK_CLOEXEC)
                    .build()
                    .user_data(Tag::new(Op::Accept, place as u32, 0).pack());
                // SAFETY: the entry points to nothing.
                unsafe { ring.push(&entry) };
            }
        }
    }

    /// Arms what rested, when its time has come.
    #[inline]
    pub fn retry(&mut self, ring: &mut Ring, now_us: u64) {
        if self.retry_at.is_some_and(|at| at <= now_us) {
            self.arm(ring);
        }
    }

    #[inline]
    pub fn retry_at(&self) -> Option<u64> {
        self.retry_at
    }

    /// A descriptor was closed: what rested may try again.
    pub fn descriptor_freed(&mut self) {
        if let Some(at) = &mut self.retry_at {
            *at = 0;
        }
    }

    /// Digests a completion of listener `place`.
    ///
    /// # Errors
    /// The accept failed (an errno); this is for counting, the retry is arranged.
    pub fn accepted(&mut self, place: usize, result: i32, more: bool, now_us: u64) -> Result<Option<Accepted>, i32> {
        let listener = &mut self.listeners[place];
        if !more {
            listener.armed = false;
            if listener.socket.is_some() {
                // In general the kernel ends a multishot for reasons that pass at once; running out
                // of something does not.
                let pause = if result < 0 && !passing(-result) { BACKOFF_US } else { 0 };
                self.retry_at = Some(self.retry_at.unwrap_or(u64::MAX).min(now_us + pause));
            }
        }
        if result < 0 {
            return match -result {
                libc::ECANCELED => Ok(None),
                errno => Err(errno),
            };
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(result) };
        let peer = match &listener.socket {
            // Removed meanwhile: the connection is closed with `fd`.
            None => return Ok(None),
            Some(Socket::Tcp { spread, .. }) => PeerInfo {
                kind: PeerKind::Tcp,
                peer: match listen::peer_addr(result) {
                    // Reset before it was accepted: there is nothing to read or to answer.
                    None => return Ok(None),
                    known => known,
                },
                local: listen::local_addr(result),
                path: None,
                listener: place,
                own_port: !spread,
                fd: result,
            },
            Some(Socket::Unix(unix)) => PeerInfo {
                kind: PeerKind::Unix,
                peer: None,
                local: None,
                path: Some(Arc::clone(&unix.path)),
                listener: place,
                own_port: false,
                fd: result,
            },
        };
        Ok(Some(Accepted { fd, peer }))
    }
}

/// Errors of one connection that was about to be accepted; the next one may be fine.
fn passing(errno: i32) -> bool {
    matches!(
        errno,
        libc::EAGAIN
            | libc::EINTR
            | libc::ECONNABORTED
            | libc::ECANCELED
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
    )
}
