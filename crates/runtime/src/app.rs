//! What the core loop and the program on top of it say to each other: the [`App`] trait, the
//! identities it is given, and the answer it gives at the end of a turn.
//!
//! An `App` lives on one core's thread from start to stop: it is made there, is never moved, and
//! needs no locks. All its methods are called by the core loop of that thread, one at a time.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::files::FileDone;
use crate::io::Io;

/// Number of a core, counted from 0 in the order of [`crate::RuntimeConfig::cpus`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CoreId(pub u16);

/// One connection of one core. The index is used again after the connection is gone, the
/// generation then differs: a stale id never reaches a newer connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId {
    /// Place in the core's table of connections.
    pub index: u32,
    /// Counts the uses of that place.
    pub generation: u32,
}

/// Transport of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerKind {
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// A unix stream socket.
    Unix,
}

/// Who is at the other end, as known when the connection was accepted.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Transport.
    pub kind: PeerKind,
    /// The peer's address; `None` for unix sockets.
    pub peer: Option<SocketAddr>,
    /// Our address; `None` for unix sockets.
    pub local: Option<SocketAddr>,
    /// The unix socket's path.
    pub path: Option<Arc<str>>,
    /// Which listener accepted it: for the listeners of [`crate::bind`] their place in
    /// [`crate::Listeners::local_addrs`] (the unix socket comes after them), later ones count on.
    pub listener: usize,
    /// It came in at an address that its core alone listens on, and stays there.
    pub own_port: bool,
    /// The socket's file descriptor, for display and for socket options. Owned by the runtime.
    pub fd: i32,
}

impl PeerInfo {
    /// The peer as CLIENT LIST shows it: `127.0.0.1:4711`, `[::1]:4711`, `/run/x.sock:0`.
    pub fn addr_text(&self) -> String {
        Self::text(self.peer, self.path.as_deref())
    }

    /// Our end as CLIENT LIST shows it.
    pub fn local_text(&self) -> String {
        Self::text(self.local, self.path.as_deref())
    }

    /// Whether the peer is on this machine (unix socket or loopback address).
    pub fn is_loopback(&self) -> bool {
        match (self.kind, self.peer) {
            (PeerKind::Unix, _) => true,
            (PeerKind::Tcp, Some(addr)) => addr.ip().to_canonical().is_loopback(),
            (PeerKind::Tcp, None) => false,
        }
    }

    fn text(addr: Option<SocketAddr>, path: Option<&str>) -> String {
        match (addr, path) {
            (Some(addr), _) => addr.to_string(),
            (None, Some(path)) => format!("{path}:0"),
            (None, None) => "?:0".to_owned(),
        }
    }
}

/// What the core loop does after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// There is unfinished work: look for completions and mail, do not sleep.
    Again,
    /// Nothing to do until something arrives.
    Sleep {
        /// Wake up at this monotonic time (microseconds, as [`Io::now_us`]) at the latest.
        until: Option<u64>,
        /// Replies of other cores are outstanding: spin for `spin_us` before sleeping.
        expecting: bool,
    },
    /// Leave the loop: connections are closed and [`crate::run`] returns once all cores said so.
    Stop,
}

impl Next {
    /// Sleep until something arrives.
    pub const IDLE: Next = Next::Sleep { until: None, expecting: false };
}

/// What becomes of a connection that is ready to leave for another core.
pub enum Leave {
    /// It goes: who is at its other end, and what the program there gets.
    Go(PeerInfo, Box<dyn Any + Send>),
    /// The program still expects something for it: ask again soon.
    Wait,
    /// It stays after all.
    Stay,
}

/// The program on one core.
///
/// For one connection the order of calls is `on_open` (or `on_arrive`), any number of `on_data`, at
/// most one `on_eof`, `on_close` (or `on_leave`). After `on_close` (and from the call of [`Io::close`] on) its id is dead:
/// [`Io::output`] answers `None`.
pub trait App: Sized {
    /// What travels between cores. Moved through queues: keep it at the size of a few words.
    type Mail: Send + 'static;

    /// Once, before the first turn and before the first connection is accepted.
    fn on_start(&mut self, _io: &mut Io<Self::Mail>) {}

    /// A connection was accepted (or adopted).
    fn on_open(&mut self, io: &mut Io<Self::Mail>, conn: ConnId, peer: &PeerInfo);

    /// What the next calls of `on_data` will bring, when there are several: a chance to fetch what they will touch. It
    /// changes nothing: a connection may be gone, or not take its bytes, when their turn has come.
    fn on_ahead<'a>(&mut self, _arrivals: impl Iterator<Item = (ConnId, &'a [u8])>) {}

    /// Bytes arrived, in order. `data` lies in a receive buffer that goes back when this returns.
    fn on_data(&mut self, io: &mut Io<Self::Mail>, conn: ConnId, data: &[u8]);

    /// The peer will send nothing more. As given: what is queued is still sent, then the
    /// connection is closed. An app whose replies are still to come overrides this and calls
    /// [`Io::close_after_output`] when it has written the last of them.
    fn on_eof(&mut self, io: &mut Io<Self::Mail>, conn: ConnId) {
        io.close_after_output(conn);
    }

    /// The connection is gone, for whatever reason: exactly once per `on_open`.
    fn on_close(&mut self, io: &mut Io<Self::Mail>, conn: ConnId);

    /// A connection is ready to leave for the core that [`Io::move_to`] named. With [`Leave::Go`] its id is dead,
    /// without `on_close`.
    fn on_leave(&mut self, _io: &mut Io<Self::Mail>, _conn: ConnId) -> Leave {
        Leave::Stay
    }

    /// A connection has come from another core, with what `on_leave` gave there; instead of `on_open`.
    fn on_arrive(&mut self, io: &mut Io<Self::Mail>, conn: ConnId, _peer: &PeerInfo, _luggage: Box<dyn Any + Send>) {
        io.close(conn);
    }

    /// A message of another core (or of this one to itself).
    fn on_mail(&mut self, io: &mut Io<Self::Mail>, from: CoreId, mail: Self::Mail);

    /// A write or a sync of a file has ended.
    fn on_file(&mut self, _io: &mut Io<Self::Mail>, _done: FileDone) {}

    /// SIGTERM or SIGINT; on core 0 only.
    fn on_signal(&mut self, _io: &mut Io<Self::Mail>, _signal: i32) {}

    /// Once a turn, after all events of the turn: queues the last output, says what comes next.
    fn on_turn(&mut self, io: &mut Io<Self::Mail>) -> Next;

    /// The core does not sleep now, and the turn's output was handed over: the time for a piece of work that nobody waits for.
    /// What it writes leaves at the end of the next turn. Whether it has done any.
    fn on_again(&mut self, _io: &mut Io<Self::Mail>) -> bool {
        false
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
