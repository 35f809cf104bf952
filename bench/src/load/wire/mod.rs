//! The sockets of one thread on its ring, as events: bytes received, room to send, connected, closed, the clock's tick.
//!
//! A connection has one multishot receive, and one send in the kernel at most. A send is first tried without waiting and then
//! leaves no completion; only one that found too little room is followed by one that waits, and then `Sent` comes. So in
//! nearly every turn the system call sends everything at once, and all that comes back is replies.
//!
//! It knows nothing of protocols. Memory that the kernel reads or writes belongs to this module: a buffer that is sent is
//! swapped in and kept until the kernel is done with it, also when its connection is closed meanwhile.
//!
//! ```text
//! user_data   63   56 55                   32 31            0
//!            +-------+-----------------------+---------------+
//!            | op    | generation, low 24    | connection    |
//!            +-------+-----------------------+---------------+
//! ```
#![allow(unsafe_code)]

mod buffers;
pub mod kernel;
mod ring;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, Fixed, Timespec};
use io_uring::{cqueue, opcode};

use buffers::{Buffers, GROUP};
use kernel::KernelAddress;
use ring::{Ring, Wait};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Address {
    /// A connection, made before this returns.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, Duration::from_secs(10))?;
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
            Address::Unix(path) => UnixStream::connect(path).map(Into::into),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Bytes came: see [`Wire::bytes`]. To be given to [`Wire::recycle`].
    Received(Received),
    /// A send that had to wait is over: the connection takes the next.
    Sent(u32),
    /// A connection that [`Wire::connect`] began is there.
    Connected(u32),
    /// A connection is gone, and its place free: by the peer, by an error (its number), or by [`Wire::close`].
    Closed(u32, Option<i32>),
    /// The time given to [`Wire::tick_in`] is over.
    Tick,
}

/// A buffer with bytes of a connection.
#[derive(Debug)]
pub struct Received {
    pub connection: u32,
    bid: u16,
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Op {
    Receive = 1,
    SendNow = 2,
    SendWait = 3,
    Connect = 4,
    Tick = 5,
}

/// How looking around ended.
enum Found {
    Work,
    /// The time to wake up has come.
    End,
    Nothing,
}

#[derive(Default)]
struct Socket {
    fd: Option<OwnedFd>,
    generation: u32,
    /// What the kernel may read: the send under way, and how much of it is sent.
    flight: Vec<u8>,
    sent: usize,
    /// Operations in the kernel that come back on their own: receive, waiting send, connect.
    operations: u8,
    /// A send waits for room.
    waiting: bool,
    receiving: bool,
    closing: bool,
    /// The turn of the last send.
    pushed: u32,
    /// Why it closed.
    errno: Option<i32>,
}

/// The sockets of one thread.
pub struct Wire {
    // The order in which they go: the ring first, as the kernel uses the others through it.
    ring: Ring,
    buffers: Buffers,
    sockets: Vec<Socket>,
    /// The sockets are in the ring's table of files, at their own numbers.
    registered: bool,
    /// Receives to be armed again when buffers were given back.
    rearm: Vec<u32>,
    /// Closed and perhaps still in use by the kernel.
    doomed: Vec<u32>,
    /// No longer in use, to be told.
    gone: Vec<(u32, Option<i32>)>,
    /// Counts the times that the kernel has taken over all that was queued.
    turn: u32,
    tick: Box<Timespec>,
    targets: Vec<(Address, Box<KernelAddress>)>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Time that went into looking around while nothing was there.
    pub spun: Duration,
}

const SEND_NOW: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;
const SEND_WAIT: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
const GENERATIONS: u32 = 0x00ff_ffff;
/// Bytes of a receive buffer.
const BUFFER_BYTES: usize = 16 * 1024;

impl Wire {
    /// Room for `places` connections, none of them open.
    ///
    /// # Errors
    /// The kernel has no io_uring for us, or no memory.
    pub fn new(places: usize) -> io::Result<Wire> {
        // A turn submits one send per connection at most; the queue takes several rounds for more.
        let ring = Ring::new((places as u32 * 2).clamp(64, 2048), (places as u32 * 2).clamp(1024, 65536))?;
        let count = (places.next_power_of_two() * 2).clamp(64, 1024) as u16;
        let buffers = Buffers::new(&ring, count, BUFFER_BYTES)?;
        let mut sockets = Vec::new();
        sockets.resize_with(places, Socket::default);
        Ok(Wire {
            ring,
            buffers,
            sockets,
            registered: false,
            rearm: Vec::new(),
            doomed: Vec::new(),
            gone: Vec::new(),
            turn: 1,
            tick: Box::default(),
            targets: Vec::new(),
            sent_bytes: 0,
            received_bytes: 0,
            spun: Duration::ZERO,
        })
    }

    /// Puts a connection into its place and receives from it.
    ///
    /// # Errors
    /// The ring is lost.
    ///
    /// # Panics
    /// The place is taken.
    pub fn adopt(&mut self, place: u32, fd: OwnedFd) -> io::Result<()> {
        let socket = &mut self.sockets[place as usize];
        assert!(socket.fd.is_none() && socket.operations == 0);
        socket.fd = Some(fd);
        self.receive(place)
    }

    /// Registers the sockets of all places with the ring, which spares the kernel their look-up at every operation. For
    /// connections that stay; to be called before they are adopted.
    pub fn register(&mut self, fds: &[RawFd]) {
        self.registered = fds.len() == self.sockets.len() && self.ring.submitter().register_files(fds).is_ok();
    }

    /// Begins to connect a free place; `Connected` or `Closed` comes.
    ///
    /// # Errors
    /// No socket is to be had, or the ring is lost.
    pub fn connect(&mut self, place: u32, address: &Address) -> io::Result<()> {
        let target = match self.targets.iter().position(|known| known.0 == *address) {
            Some(target) => target,
            None => {
                let kernel = match address {
                    Address::Tcp(address) => KernelAddress::of_tcp(*address),
                    Address::Unix(path) => KernelAddress::of_unix(path)?,
                };
                self.targets.push((address.clone(), Box::new(kernel)));
                self.targets.len() - 1
            }
        };
        let target = &self.targets[target].1;
        let socket = &mut self.sockets[place as usize];
        assert!(socket.fd.is_none() && socket.operations == 0 && !self.registered);
        let fd = target.socket()?;
        let entry = opcode::Connect::new(Fd(fd.as_raw_fd()), target.as_ptr(), target.length()).build();
        socket.fd = Some(fd);
        socket.operations += 1;
        let entry = entry.user_data(tag(Op::Connect, place, socket.generation));
        // SAFETY: addresses are never removed, and each stays in its box.
        unsafe { self.ring.push(&entry) }
    }

    /// Whether the connection is open and takes a send.
    #[inline]
    pub fn is_ready(&self, place: u32) -> bool {
        let socket = &self.sockets[place as usize];
        socket.fd.is_some() && !socket.closing && !socket.waiting && socket.pushed != self.turn
    }

    /// Whether the connection is open, so that it becomes ready at some time.
    pub fn is_open(&self, place: u32) -> bool {
        let socket = &self.sockets[place as usize];
        socket.fd.is_some() && !socket.closing
    }

    /// Whether a send waits for room, so that [`Event::Sent`] comes.
    pub fn is_waiting(&self, place: u32) -> bool {
        self.sockets[place as usize].waiting
    }

    /// Sends `bytes` and leaves an empty buffer in their place. A connection is not ready for another one in the same turn.
    ///
    /// # Errors
    /// The ring is lost.
    ///
    /// # Panics
    /// The connection is not ready.
    #[inline]
    pub fn send(&mut self, place: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        assert!(self.is_ready(place));
        let socket = &mut self.sockets[place as usize];
        std::mem::swap(&mut socket.flight, bytes);
        bytes.clear();
        socket.sent = 0;
        socket.pushed = self.turn;
        self.sent_bytes += socket.flight.len() as u64;
        let entry = socket.send_entry(place, self.registered, SEND_NOW).flags(Flags::SKIP_SUCCESS);
        // SAFETY: the entry points into the flight. As this send does not wait, it is over when the kernel has taken over all
        // that is queued; until then the turn does not change, so that nothing touches the flight: the place is not ready, and
        // not released either if it is closed.
        unsafe { self.ring.push(&entry.user_data(tag(Op::SendNow, place, socket.generation))) }
    }

    /// Ends a connection; `Closed` comes when the kernel is done with it.
    pub fn close(&mut self, place: u32) {
        self.doom(place, None);
    }

    /// The same, but neither side remembers the connection afterwards: its end is followed by a reset.
    pub fn reset(&mut self, place: u32) {
        if let Some(fd) = &self.sockets[place as usize].fd {
            kernel::linger_not(fd.as_raw_fd());
        }
        self.doom(place, None);
    }

    fn doom(&mut self, place: u32, errno: Option<i32>) {
        let socket = &mut self.sockets[place as usize];
        let Some(fd) = &socket.fd else { return };
        if !socket.closing {
            socket.closing = true;
            socket.errno = errno;
            kernel::shut_down(fd.as_raw_fd());
            self.doomed.push(place);
        }
    }

    /// Has [`Event::Tick`] come after a while.
    ///
    /// # Errors
    /// The ring is lost.
    pub fn tick_in(&mut self, time: Duration) -> io::Result<()> {
        *self.tick = Timespec::from(time);
        let entry = opcode::Timeout::new(&raw const *self.tick).build();
        // SAFETY: the time lies in a box of this struct; the kernel reads it when it takes the submission over.
        unsafe { self.ring.push(&entry.user_data(tag(Op::Tick, 0, 0))) }
    }

    /// Hands over what is to be sent and takes in what happened: without waiting; or looking around for `spin` and then
    /// sleeping until something happens, at most until `until`.
    ///
    /// # Errors
    /// The ring is lost.
    #[inline]
    pub fn turn(&mut self, wait: bool, spin: Duration, until: Option<Instant>) -> io::Result<()> {
        self.buffers.publish();
        self.arm()?;
        self.enter(wait && self.doomed.is_empty(), spin, until)?;
        if !self.ring.has_queued() {
            self.turn = self.turn.wrapping_add(1);
            self.release();
        }
        Ok(())
    }

    fn enter(&mut self, wait: bool, spin: Duration, until: Option<Instant>) -> io::Result<()> {
        if !wait {
            return self.ring.enter(Wait::No);
        }
        if !spin.is_zero() {
            if self.ring.has_work() {
                self.ring.enter(Wait::No)?;
                if self.ring.has_completions() {
                    return Ok(());
                }
            }
            let begun = Instant::now();
            let found = self.look_around(begun, spin, until);
            self.spun += begun.elapsed();
            match found {
                Found::Work => return self.ring.enter(Wait::No),
                Found::End => return Ok(()),
                Found::Nothing => {}
            }
        }
        match until {
            None => self.ring.enter(Wait::Forever),
            Some(until) => match until.checked_duration_since(Instant::now()) {
                Some(time) if !time.is_zero() => self.ring.enter(Wait::AtMost(time)),
                _ => self.ring.enter(Wait::No),
            },
        }
    }

    fn look_around(&mut self, begun: Instant, spin: Duration, until: Option<Instant>) -> Found {
        loop {
            for _ in 0..8 {
                if self.ring.has_work() {
                    return Found::Work;
                }
                std::hint::spin_loop();
            }
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                return Found::End;
            }
            if now - begun >= spin {
                return Found::Nothing;
            }
        }
    }

    /// The next event of the turn.
    ///
    /// # Errors
    /// The ring is lost.
    #[inline]
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        if let Some((place, errno)) = self.gone.pop() {
            return Ok(Some(Event::Closed(place, errno)));
        }
        while let Some(completion) = self.ring.next() {
            if let Some(event) = self.digest(&completion)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The bytes of an event.
    #[inline]
    pub fn bytes(&self, received: &Received) -> &[u8] {
        // SAFETY: `received` was made from a completion and is consumed when its buffer is given back.
        unsafe { self.buffers.bytes(received.bid, received.length as usize) }
    }

    /// Gives the buffer of an event back.
    #[inline]
    pub fn recycle(&mut self, received: Received) {
        self.buffers.give_back(received.bid);
    }

    #[inline]
    fn digest(&mut self, completion: &cqueue::Entry) -> io::Result<Option<Event>> {
        let (op, generation, place) = untag(completion.user_data());
        if op == Op::Tick as u8 {
            return Ok(Some(Event::Tick));
        }
        let socket = &mut self.sockets[place as usize];
        let stale = socket.generation & GENERATIONS != generation;
        let (result, flags) = (completion.result(), completion.flags());
        if op == Op::Receive as u8 {
            let bid = cqueue::buffer_select(flags);
            if stale {
                if let Some(bid) = bid {
                    self.buffers.give_back(bid);
                }
                return Ok(None);
            }
            return Ok(self.received(place, result, bid, cqueue::more(flags)));
        }
        if stale {
            return Ok(None);
        }
        if op == Op::Connect as u8 {
            socket.operations -= 1;
            if result < 0 {
                self.doom(place, Some(-result));
                return Ok(None);
            }
            if socket.closing {
                return Ok(None);
            }
            self.receive(place)?;
            return Ok(Some(Event::Connected(place)));
        }
        if op == Op::SendWait as u8 {
            socket.waiting = false;
            socket.operations -= 1;
        }
        self.sent(place, result, op == Op::SendWait as u8)
    }

    #[inline]
    fn received(&mut self, place: u32, result: i32, bid: Option<u16>, more: bool) -> Option<Event> {
        let socket = &mut self.sockets[place as usize];
        if !more {
            socket.operations -= 1;
            socket.receiving = false;
            if !socket.closing {
                self.rearm.push(place);
            }
        }
        if result > 0
            && let Some(bid) = bid
        {
            if socket.closing {
                self.buffers.give_back(bid);
                return None;
            }
            self.received_bytes += result as u64;
            return Some(Event::Received(Received { connection: place, bid, length: result as u32 }));
        }
        if let Some(bid) = bid {
            self.buffers.give_back(bid);
        }
        match -result {
            // No buffer was free, or it was interrupted: it is armed again.
            libc::ENOBUFS | libc::EINTR | libc::EAGAIN => {}
            0 => self.doom(place, None),
            errno => self.doom(place, Some(errno)),
        }
        None
    }

    /// A send that was not over at once, or that had waited: sends what is left.
    fn sent(&mut self, place: u32, result: i32, waited: bool) -> io::Result<Option<Event>> {
        let socket = &mut self.sockets[place as usize];
        if socket.closing {
            return Ok(None);
        }
        if result < 0 && !matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ECANCELED) {
            self.doom(place, Some(-result));
            return Ok(None);
        }
        socket.sent += result.max(0) as usize;
        if socket.sent >= socket.flight.len() {
            return Ok(waited.then_some(Event::Sent(place)));
        }
        socket.waiting = true;
        socket.operations += 1;
        let entry = socket.send_entry(place, self.registered, SEND_WAIT);
        let entry = entry.user_data(tag(Op::SendWait, place, socket.generation));
        // SAFETY: the entry points into the flight, which stays as it is while `waiting`, and until the place is released.
        unsafe { self.ring.push(&entry)? };
        Ok(None)
    }

    fn receive(&mut self, place: u32) -> io::Result<()> {
        let socket = &mut self.sockets[place as usize];
        let Some(fd) = &socket.fd else { return Ok(()) };
        if socket.receiving || socket.closing {
            return Ok(());
        }
        let entry = if self.registered {
            opcode::RecvMulti::new(Fixed(place), GROUP).build()
        } else {
            opcode::RecvMulti::new(Fd(fd.as_raw_fd()), GROUP).build()
        };
        socket.receiving = true;
        socket.operations += 1;
        let entry = entry.user_data(tag(Op::Receive, place, socket.generation));
        // SAFETY: bytes go to the registered buffers, which outlive the ring.
        unsafe { self.ring.push(&entry) }
    }

    fn arm(&mut self) -> io::Result<()> {
        while let Some(place) = self.rearm.pop() {
            self.receive(place)?;
        }
        Ok(())
    }

    /// Frees the closed places that the kernel is done with. To be called when nothing is queued: what was pushed for a place
    /// before it was closed is over then.
    fn release(&mut self) {
        let (sockets, gone) = (&mut self.sockets, &mut self.gone);
        self.doomed.retain(|&place| {
            let socket = &mut sockets[place as usize];
            if socket.operations > 0 {
                return true;
            }
            gone.push((place, socket.errno));
            *socket = Socket {
                generation: socket.generation.wrapping_add(1),
                flight: std::mem::take(&mut socket.flight),
                ..Socket::default()
            };
            false
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for socket in &self.sockets {
            if let Some(fd) = &socket.fd {
                kernel::shut_down(fd.as_raw_fd());
            }
        }
    }
}

impl Socket {
    #[inline]
    fn send_entry(&self, place: u32, registered: bool, flags: i32) -> Entry {
        let rest = &self.flight[self.sent..];
        let length = rest.len().min(1 << 30) as u32;
        match &self.fd {
            Some(fd) if !registered => {
                opcode::Send::new(Fd(fd.as_raw_fd()), rest.as_ptr(), length).flags(flags).build()
            }
            _ => opcode::Send::new(Fixed(place), rest.as_ptr(), length).flags(flags).build(),
        }
    }
}

#[inline]
fn tag(op: Op, place: u32, generation: u32) -> u64 {
    (op as u64) << 56 | u64::from(generation & GENERATIONS) << 32 | u64::from(place)
}

#[inline]
fn untag(word: u64) -> (u8, u32, u32) {
    ((word >> 56) as u8, (word >> 32) as u32 & GENERATIONS, word as u32)
}
