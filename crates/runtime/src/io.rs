//! What the program on a core can ask of its core loop. Calls take effect at once on what the
//! program can see (a closed id answers nothing any more); what concerns the kernel is queued and
//! handed over at the end of the turn. No call here ever calls back into the program.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use pinyon_resp::Output;

use crate::accept::Acceptor;
use crate::app::{ConnId, CoreId, PeerInfo};
use crate::buffers::{OutputPool, RecvBuffers};
use crate::clock;
use crate::conn::{ConnTable, Flags};
use crate::files::FileOps;
use crate::listen::{ListenError, TcpListen, listen_tcp};
use crate::mesh::{Docked, Post};
use crate::ring::{Op, Ring, Tag};
use crate::send::{Sending, give_back};
use crate::storage::{Answer, Files, Storage};
use crate::wake::Waker;

/// Counters of one core since its start (or since [`Io::reset_stats`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Turns of the loop.
    pub turns: u64,
    /// System calls of the loop (`io_uring_enter`).
    pub enters: u64,
    /// Turns that ended asleep.
    pub sleeps: u64,
    /// Turns that spun for replies of peers and got something before they slept.
    pub spins_paid: u64,
    /// Turns that spun in vain.
    pub spins_lost: u64,
    /// Wake-ups sent to sleeping cores.
    pub wakes_sent: u64,
    /// Receives and their bytes.
    pub recvs: u64,
    /// Bytes received.
    pub recv_bytes: u64,
    /// Times a receive found no buffer.
    pub recv_starved: u64,
    /// Sends.
    pub sends: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Sends that found no room in the socket.
    pub send_waits: u64,
    /// Connections accepted or adopted.
    pub accepts: u64,
    /// Accepts that failed.
    pub accept_errors: u64,
    /// Connections closed.
    pub closes: u64,
    /// Connections that have moved to another core.
    pub moves: u64,
    /// Messages sent to cores.
    pub mails_sent: u64,
    /// Messages received from cores.
    pub mails_received: u64,
}

/// One core's side of the runtime, handed to every method of [`crate::App`].
pub struct Io<M> {
    // The ring goes before the buffers it was told of.
    pub(crate) ring: Ring,
    pub(crate) buffers: RecvBuffers,
    pub(crate) files: FileOps,
    pub(crate) conns: ConnTable,
    pub(crate) pool: OutputPool,
    pub(crate) sending: Sending,
    pub(crate) acceptor: Acceptor,
    pub(crate) storage: Option<Storage<M>>,
    /// What the core is pinned to.
    pub(crate) cpu: Option<usize>,
    pub(crate) post: Post<M>,
    pub(crate) waker: Waker,
    pub(crate) stats: IoStats,
    /// Connections with output (or whose end is to be looked at) this turn.
    pub(crate) dirty: Vec<u32>,
    /// Connections with output that nobody waits for: sent after those of `dirty`.
    pub(crate) pushed: Vec<u32>,
    /// Connections to be closed: `on_close` is due.
    pub(crate) doomed: Vec<u32>,
    /// Connections whose receive is to be armed at the end of the turn.
    pub(crate) rearm: Vec<u32>,
    /// Resumed connections with data or an end kept for them.
    pub(crate) resumed: Vec<u32>,
    /// Connections that are to move to another core.
    pub(crate) leaving: Vec<(ConnId, CoreId)>,
    /// Connections to be opened.
    pub(crate) adopted: VecDeque<Docked>,
    /// Connections whose output is held, and until when (monotonic µs), the earliest first; perhaps released since.
    pub(crate) held: VecDeque<(u32, u64)>,
    pub(crate) now_ms: i64,
    pub(crate) now_us: u64,
    pub(crate) core: CoreId,
    pub(crate) cores: usize,
}

impl<M: Send + 'static> Io<M> {
    /// Unix time in milliseconds, read once a turn.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Monotonic time in microseconds, read once a turn.
    #[inline]
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// This core.
    #[inline]
    pub fn core(&self) -> CoreId {
        self.core
    }

    /// The number of cores.
    #[inline]
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The connection's output, to append to; what is in it at the end of the turn is sent then.
    /// `None`: the connection is closed.
    #[inline]
    pub fn output(&mut self, conn: ConnId) -> Option<&mut Output> {
        output(&mut self.conns, &mut self.pool, &mut self.dirty, conn)
    }

    /// As [`Io::output`], for what the connection has not asked for: it leaves after the replies of the turn, so that those
    /// who wait for one can send their next commands while it does, and the next turn has more of them to send together.
    #[inline]
    pub fn push_output(&mut self, conn: ConnId) -> Option<&mut Output> {
        output(&mut self.conns, &mut self.pool, &mut self.pushed, conn)
    }

    /// Bytes of the connection's output that the kernel has not taken yet; 0 when it is closed.
    pub fn unsent(&self, conn: ConnId) -> usize {
        self.conns.live_ref(conn).map_or(0, |slot| slot.unsent())
    }

    /// Whether the connection is open.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.conns.live_ref(conn).is_some()
    }

    /// Closes now and drops unsent output. The id is dead from here on; `on_close` follows, before
    /// the core sleeps.
    pub fn close(&mut self, conn: ConnId) {
        if self.conns.live(conn).is_some() {
            self.doom(conn.index);
        }
    }

    /// Closes once all output is sent, that of this turn included. What arrives meanwhile is
    /// dropped; the id stays alive until then.
    pub fn close_after_output(&mut self, conn: ConnId) {
        if let Some(slot) = self.conns.live(conn) {
            slot.flags.set(Flags::FINISHING);
            if !slot.flags.has(Flags::DIRTY) {
                slot.flags.set(Flags::DIRTY);
                self.dirty.push(conn.index);
            }
        }
    }

    /// Stops receiving: no `on_data` until [`Io::resume`]. What the kernel has taken from the
    /// socket already is kept and delivered then, in order.
    pub fn pause(&mut self, conn: ConnId) {
        let Some(slot) = self.conns.live(conn) else { return };
        slot.flags.set(Flags::PAUSED);
        if slot.flags.has(Flags::RECEIVING) && !slot.flags.has(Flags::CANCELLING) {
            slot.flags.set(Flags::CANCELLING);
            self.ring.push_cancel(Tag::new(Op::Recv, conn.index, conn.generation));
        }
    }

    /// Receives again. Data kept meanwhile is delivered in the next turn, before anything newer.
    pub fn resume(&mut self, conn: ConnId) {
        let Some(slot) = self.conns.live(conn) else { return };
        // One that is to leave receives again where it arrives.
        if !slot.flags.has(Flags::PAUSED) || slot.flags.has(Flags::LEAVING) {
            return;
        }
        slot.flags.clear(Flags::PAUSED);
        if slot.kept.is_some() && !slot.flags.has(Flags::RESUMED) {
            slot.flags.set(Flags::RESUMED);
            self.resumed.push(conn.index);
        }
        self.receive_later(conn.index);
    }

    /// Whether receiving is paused; `false` when the connection is closed.
    pub fn is_paused(&self, conn: ConnId) -> bool {
        self.conns.live_ref(conn).is_some_and(|slot| slot.flags.has(Flags::PAUSED))
    }

    /// Sends a message to a core (this one too: it gets it in the next turn). Messages from one
    /// core to another arrive in order. Peers that sleep are woken once, at the end of the turn.
    ///
    /// # Panics
    /// There is no such core.
    #[inline]
    pub fn mail(&mut self, to: CoreId, mail: M) {
        let Io { post, ring, waker, .. } = self;
        let mut sleeper = None;
        post.send(to, mail, |peer| sleeper = Some(peer));
        if let Some(peer) = sleeper {
            waker.wake(ring, peer);
        }
    }

    /// Whether this core has a storage executor.
    pub fn has_storage(&self) -> bool {
        self.storage.is_some()
    }

    /// Starts the core's storage executor unless it has one: for a program that turns out to need one after its start. The
    /// loop stands still for some milliseconds.
    ///
    /// # Errors
    /// What the system refused.
    pub fn start_storage(&mut self) -> io::Result<()> {
        if self.storage.is_none() {
            let storage = Storage::start(format!("storage-{}", self.core), self.cpu)?;
            self.ring.push_poll(storage.event_fd(), Op::Storage);
            self.storage = Some(storage);
        }
        Ok(())
    }

    /// Has the storage executor run a job, in the order of these calls, from the end of this turn on. Its answer comes as
    /// mail from this core.
    ///
    /// # Panics
    /// The runtime was set up without storage executors, and [`Io::start_storage`] was not called.
    pub fn store(&mut self, job: impl FnOnce(&Files) -> Answer<M> + Send + 'static) {
        let storage = self.storage.as_mut().expect("a storage executor");
        storage.submit(Box::new(job));
    }

    /// Takes over a connected stream socket; `on_open` follows in the next turn at the latest.
    pub fn adopt(&mut self, fd: OwnedFd, mut peer: PeerInfo) {
        peer.fd = fd.as_raw_fd();
        self.adopted.push_back(Docked { fd, peer, counted: false, luggage: None });
    }

    /// Hands a connected stream socket to another core, whose `on_open` gets it.
    ///
    /// # Panics
    /// There is no such core.
    pub fn hand_over(&mut self, to: CoreId, fd: OwnedFd, peer: PeerInfo) {
        if to == self.core {
            return self.adopt(fd, peer);
        }
        let Io { post, ring, waker, .. } = self;
        let mut sleeper = None;
        post.dock(to, Docked { fd, peer, counted: true, luggage: None }, |core| sleeper = Some(core));
        if let Some(core) = sleeper {
            waker.wake(ring, core);
        }
    }

    /// Opens a listener on this core and accepts from it; its number for [`PeerInfo::listener`].
    /// Each core opens its own for the same address; [`crate::listen::probe`] tells beforehand
    /// whether somebody else is there. As with the listeners of [`crate::bind`], a connection is
    /// handed to another core when that one has clearly fewer.
    ///
    /// # Errors
    /// What the system refused.
    pub fn listen(&mut self, spec: &TcpListen) -> Result<usize, ListenError> {
        let socket = listen_tcp(spec)?;
        Ok(self.acceptor.add_tcp(&mut self.ring, spec.addr, socket, true))
    }

    /// As [`Io::listen`], but what this core accepts stays on this core: for ports of one core only.
    ///
    /// # Errors
    /// What the system refused.
    pub fn listen_here(&mut self, spec: &TcpListen) -> Result<usize, ListenError> {
        let socket = listen_tcp(spec)?;
        Ok(self.acceptor.add_tcp(&mut self.ring, spec.addr, socket, false))
    }

    /// Closes this core's listener on that address; whether there was one. Connections that wait
    /// in its backlog are reset.
    pub fn unlisten(&mut self, addr: SocketAddr) -> bool {
        self.acceptor.remove_tcp(&mut self.ring, addr)
    }

    /// Closes all listeners of this core. Its connections stay.
    pub fn stop_accepting(&mut self) {
        self.acceptor.remove_all(&mut self.ring);
    }

    /// Seconds of silence before TCP keepalive probes on connections accepted from now on, 0 = none.
    pub fn set_keepalive(&mut self, seconds: u32) {
        self.acceptor.set_keepalive(seconds);
    }

    /// Connections of this core, those that are closing included.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Counters of this core.
    pub fn stats(&self) -> IoStats {
        IoStats {
            enters: self.ring.enters,
            wakes_sent: self.waker.sent,
            mails_sent: self.post.sent,
            ..self.stats.clone()
        }
    }

    /// Sets the counters to zero.
    pub fn reset_stats(&mut self) {
        self.stats = IoStats::default();
        self.ring.enters = 0;
        self.waker.sent = 0;
        self.post.sent = 0;
    }

    /// Marks a connection to be closed: its id is dead, `on_close` is due.
    pub(crate) fn doom(&mut self, index: u32) {
        let slot = self.conns.at(index);
        if slot.flags.has(Flags::LIVE) {
            slot.flags.clear(Flags::LIVE);
            slot.flags.set(Flags::DOOMED);
            self.doomed.push(index);
        }
    }

    /// After `on_close`: ends what the kernel still does for the connection, and frees its place
    /// once that is nothing.
    pub(crate) fn bury(&mut self, index: u32) {
        let slot = self.conns.at(index);
        slot.flags.clear(Flags::DOOMED);
        slot.flags.set(Flags::GHOST);
        give_back(&mut self.pool, &mut slot.out);
        slot.kept = None;
        let generation = slot.generation;
        let cancel_recv = slot.flags.has(Flags::RECEIVING) && !slot.flags.has(Flags::CANCELLING);
        let cancel_send = slot.flags.has(Flags::SENDING);
        slot.flags.set(Flags::CANCELLING);
        if cancel_recv {
            self.ring.push_cancel(Tag::new(Op::Recv, index, generation));
        }
        if cancel_send {
            self.ring.push_cancel(Tag::new(Op::SendWait, index, generation));
        }
        self.stats.closes += 1;
        self.post.mesh().uncount_connection(usize::from(self.core.0));
        self.release_if_quiet(index);
    }

    /// Frees a ghost's place when the kernel has nothing of it any more.
    pub(crate) fn release_if_quiet(&mut self, index: u32) {
        let slot = self.conns.at(index);
        if !slot.flags.has(Flags::GHOST) || slot.ops > 0 {
            return;
        }
        let (fd, registered) = (slot.fd, slot.flags.has(Flags::REGISTERED));
        // Lists may still name the place: they check flags, and a new user has none of them.
        give_back(&mut self.pool, &mut slot.flight);
        self.conns.release(index);
        if registered {
            self.ring.unregister_file(index);
        }
        close(fd);
        self.acceptor.descriptor_freed();
    }

    /// Reads the clock for this turn.
    #[inline]
    pub(crate) fn read_clock(&mut self) {
        self.now_ms = clock::unix_ms();
        self.now_us = clock::monotonic_us();
    }
}

/// The connection's output; it goes on the list of those that have some, unless it is on one.
#[inline]
fn output<'c>(
    conns: &'c mut ConnTable,
    pool: &mut OutputPool,
    list: &mut Vec<u32>,
    conn: ConnId,
) -> Option<&'c mut Output> {
    let slot = conns.live(conn)?;
    if !slot.flags.has(Flags::DIRTY) {
        slot.flags.set(Flags::DIRTY);
        list.push(conn.index);
    }
    if slot.out.bytes_mut().capacity() == 0 {
        *slot.out.bytes_mut() = pool.take();
    }
    Some(&mut slot.out)
}

/// Closes a connection's descriptor.
pub(crate) fn close(fd: i32) {
    // SAFETY: the descriptor was ours alone and is not used after this.
    unsafe { libc::close(fd) };
}
