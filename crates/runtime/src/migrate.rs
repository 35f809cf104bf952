//! Moving an open connection to another core: descriptor, bytes received and not delivered, and what the program wants to
//! take along.
//!
//! ```text
//! move_to ─▶ cancel the receive ─▶ last sends done ─▶ on_leave ─▶ dock ║ other core: on_arrive ─▶ bytes kept ─▶ receive
//! ```
//! Nothing is lost and nothing is delivered twice: what the kernel has received until the cancellation took effect is kept
//! and travels along; what comes later waits in the socket. A connection leaves only when the kernel has no operation on it
//! and all its output is sent.

use std::any::Any;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::app::{App, ConnId, CoreId, Leave, PeerInfo};
use crate::conn::Flags;
use crate::core_loop::CoreLoop;
use crate::io::Io;
use crate::mesh::Docked;
use crate::ring::{Op, Tag};
use crate::send::give_back;

/// What a connection takes along to another core.
pub(crate) struct Luggage {
    /// The program's.
    pub state: Box<dyn Any + Send>,
    /// Bytes received and not delivered.
    #[allow(clippy::box_collection)]
    pub kept: Option<Box<Vec<u8>>>,
    /// The peer has ended its side, and the program does not know.
    pub eof: bool,
}

/// Whether a connection that is to leave can go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Readiness {
    Ready,
    /// The kernel still has an operation on it, or output of it.
    NotYet,
    /// It was closed meanwhile, or will be.
    Gone,
}

impl<M: Send + 'static> Io<M> {
    /// Has a connection move to another core once its output is sent: [`App::on_leave`] is asked then, and
    /// [`App::on_arrive`] gets it there. Nothing is delivered meanwhile. Without effect on one that is paused or closing.
    ///
    /// # Panics
    /// There is no such core.
    pub fn move_to(&mut self, conn: ConnId, to: CoreId) {
        assert!(usize::from(to.0) < self.cores, "there is no core {to}");
        let against = Flags::PAUSED.or(Flags::LEAVING).or(Flags::FINISHING).or(Flags::EOF);
        match self.conns.live(conn) {
            Some(slot) if !slot.flags.has(against) && to != self.core => {
                slot.flags.set(Flags::LEAVING.or(Flags::PAUSED))
            }
            _ => return,
        }
        let slot = self.conns.at(conn.index);
        if slot.flags.has(Flags::RECEIVING) && !slot.flags.has(Flags::CANCELLING) {
            slot.flags.set(Flags::CANCELLING);
            self.ring.push_cancel(Tag::new(Op::Recv, conn.index, conn.generation));
        }
        self.leaving.push((conn, to));
    }

    /// Connections of a core, those on their way to it included.
    pub fn connections_of(&self, core: CoreId) -> usize {
        self.post.mesh().connections(usize::from(core.0))
    }

    /// Whether a connection is only waiting for the next turn to leave: the core must not sleep then.
    pub(crate) fn must_let_go(&self) -> bool {
        self.leaving.iter().any(|(conn, _)| self.conns.live_ref(*conn).is_none_or(|slot| slot.ops == 0))
    }

    fn readiness(&self, conn: ConnId) -> Readiness {
        match self.conns.live_ref(conn) {
            None => Readiness::Gone,
            Some(slot) if slot.flags.has(Flags::FINISHING) => Readiness::Gone,
            Some(slot) if slot.ops > 0 || slot.unsent() > 0 => Readiness::NotYet,
            Some(_) => Readiness::Ready,
        }
    }

    /// It stays: receives again.
    fn stay(&mut self, conn: ConnId) {
        if let Some(slot) = self.conns.live(conn) {
            slot.flags.clear(Flags::LEAVING);
            self.resume(conn);
        }
    }

    /// Frees its place here and puts it into the other core's dock.
    fn depart(&mut self, conn: ConnId, to: CoreId, peer: PeerInfo, state: Box<dyn Any + Send>) {
        let Io { conns, pool, ring, post, waker, .. } = self;
        let slot = conns.at(conn.index);
        debug_assert!(slot.ops == 0 && slot.unsent() == 0);
        let eof = slot.flags.has(Flags::EOF) && !slot.flags.has(Flags::EOF_TOLD);
        let luggage = Luggage { state, kept: slot.kept.take(), eof };
        give_back(pool, &mut slot.out);
        give_back(pool, &mut slot.flight);
        let (fd, registered) = (slot.fd, slot.flags.has(Flags::REGISTERED));
        // Lists may still name the place: they check flags, and a new user has none of them.
        conns.release(conn.index);
        if registered {
            ring.unregister_file(conn.index);
        }
        // SAFETY: the descriptor was this core's alone, and its place has just forgotten it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        self.stats.moves += 1;
        post.mesh().uncount_connection(usize::from(self.core.0));
        let mut sleeper = None;
        post.dock(to, Docked { fd, peer, counted: true, luggage: Some(luggage) }, |core| sleeper = Some(core));
        if let Some(core) = sleeper {
            waker.wake(ring, core);
        }
    }
}

impl<A: App> CoreLoop<A> {
    /// Lets those connections go that can.
    pub(crate) fn let_go(&mut self) {
        if self.io.leaving.is_empty() {
            return;
        }
        for (conn, to) in mem::take(&mut self.io.leaving) {
            match self.io.readiness(conn) {
                Readiness::Gone => {}
                Readiness::NotYet => self.io.leaving.push((conn, to)),
                Readiness::Ready => match self.app.on_leave(&mut self.io, conn) {
                    Leave::Go(peer, state) => self.io.depart(conn, to, peer, state),
                    Leave::Wait => self.io.leaving.push((conn, to)),
                    Leave::Stay => self.io.stay(conn),
                },
            }
        }
    }

    /// Takes up a connection that came from another core.
    pub(crate) fn welcome(&mut self, conn: ConnId, peer: &PeerInfo, luggage: Luggage) {
        let Luggage { state, kept, eof } = luggage;
        let slot = self.io.conns.at(conn.index);
        if kept.is_some() || eof {
            slot.kept = Some(kept.unwrap_or_default());
            slot.flags.set(Flags::RESUMED);
            if eof {
                slot.flags.set(Flags::EOF);
            }
            self.io.resumed.push(conn.index);
        }
        self.app.on_arrive(&mut self.io, conn, peer, state);
    }
}
