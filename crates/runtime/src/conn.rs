//! The table of one core's connections and what is known of each.
//!
//! A place in the table goes through these states; its index is used again only after the last.
//!
//! ```text
//! free ──open──▶ LIVE ──doom──▶ DOOMED ──on_close──▶ GHOST ──last kernel op done──▶ free
//!                                  │ the id answers nothing any more │ descriptor closed
//! ```
//! Invariant: a place becomes free only when the kernel has no operation on it (`ops == 0`), so a
//! late completion never meets a newer connection; the generation in its tag is checked all the
//! same.

use std::os::fd::RawFd;

use pinyon_resp::Output;

use crate::app::ConnId;

/// A set of the flags below.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    /// Open: the program may use it.
    pub const LIVE: Flags = Flags(1);
    /// To be closed; `on_close` is still to come.
    pub const DOOMED: Flags = Flags(1 << 1);
    /// `on_close` was delivered; waits for the kernel's operations to end.
    pub const GHOST: Flags = Flags(1 << 2);
    /// The multishot receive is armed.
    pub const RECEIVING: Flags = Flags(1 << 3);
    /// Its cancellation was asked for.
    pub const CANCELLING: Flags = Flags(1 << 4);
    /// A send that waits for room is in the kernel.
    pub const SENDING: Flags = Flags(1 << 5);
    /// The last send did not finish at once: the next one waits for room.
    pub const CONGESTED: Flags = Flags(1 << 6);
    /// On the list of connections with output for this turn.
    pub const DIRTY: Flags = Flags(1 << 7);
    /// The program wants no data.
    pub const PAUSED: Flags = Flags(1 << 8);
    /// The peer has ended its side.
    pub const EOF: Flags = Flags(1 << 9);
    /// The program was told so.
    pub const EOF_TOLD: Flags = Flags(1 << 10);
    /// Close once everything is sent; arriving data is dropped.
    pub const FINISHING: Flags = Flags(1 << 11);
    /// The descriptor has a place in the ring's file table (its own index).
    pub const REGISTERED: Flags = Flags(1 << 12);
    /// On the list of connections whose receive is to be armed.
    pub const REARM: Flags = Flags(1 << 13);
    /// On the list of resumed connections with something kept.
    pub const RESUMED: Flags = Flags(1 << 14);
    /// This turn's send did not finish at once.
    pub const COMPLAINED: Flags = Flags(1 << 15);
    /// Moves to another core as soon as it can.
    pub const LEAVING: Flags = Flags(1 << 16);
    /// Its output waits for more: see `hold`.
    pub const HELD: Flags = Flags(1 << 17);

    #[inline]
    pub fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }
    #[inline]
    pub fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }
    #[inline]
    pub fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }
    #[inline]
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

pub(crate) struct Conn {
    /// What the program writes.
    pub out: Output,
    /// What is being sent; unchanged until all of it is sent.
    pub flight: Output,
    /// Bytes of `flight` that are sent.
    pub flight_sent: usize,
    /// For a flight of several pieces.
    pub message: Option<Box<Message>>,
    /// Bytes that arrived while paused. (Boxed: nearly always absent.)
    #[allow(clippy::box_collection)]
    pub kept: Option<Box<Vec<u8>>>,
    pub generation: u32,
    pub fd: RawFd,
    pub flags: Flags,
    /// Operations that the kernel has and will complete.
    pub ops: u32,
    /// Until when the output is held, in µs; the low bits of the monotonic time.
    pub held_until: u32,
}

// Part of the 300 bytes that an idle connection may cost.
const _: () = assert!(size_of::<Conn>() <= 160);

/// A message header and the pieces it points to, as `sendmsg` takes them.
pub(crate) struct Message {
    pub header: libc::msghdr,
    pub pieces: Vec<libc::iovec>,
}

impl Conn {
    fn free(generation: u32) -> Conn {
        Conn {
            out: Output::default(),
            flight: Output::default(),
            flight_sent: 0,
            message: None,
            kept: None,
            generation,
            fd: -1,
            flags: Flags::default(),
            ops: 0,
            held_until: 0,
        }
    }

    /// Bytes queued or in flight.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.out.len() + self.flight.len() - self.flight_sent
    }
}

/// Chunks that never move: growing copies nothing.
pub(crate) struct ConnTable {
    chunks: Vec<Box<[Conn]>>,
    free: Vec<u32>,
    live: usize,
}

const CHUNK: usize = 64;

impl ConnTable {
    pub fn new() -> ConnTable {
        ConnTable { chunks: Vec::new(), free: Vec::new(), live: 0 }
    }

    /// Takes a place for an open connection.
    pub fn open(&mut self, fd: RawFd) -> ConnId {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.grow(),
        };
        let conn = self.at(index);
        debug_assert!(conn.ops == 0 && conn.flags == Flags::default());
        conn.fd = fd;
        conn.flags = Flags::LIVE;
        let generation = conn.generation;
        self.live += 1;
        ConnId { index, generation }
    }

    fn grow(&mut self) -> u32 {
        let first = self.chunks.len() * CHUNK;
        assert!(first + CHUNK <= u32::MAX as usize, "more connections than an index can name");
        self.chunks.push((0..CHUNK).map(|_| Conn::free(1)).collect());
        // Low indexes first: they are the ones that fit the file table.
        self.free.extend((first as u32 + 1..(first + CHUNK) as u32).rev());
        first as u32
    }

    /// Frees a place; later uses of it have another generation.
    pub fn release(&mut self, index: u32) {
        let conn = self.at(index);
        let generation = conn.generation.wrapping_add(1);
        *conn = Conn::free(generation);
        self.free.push(index);
        self.live -= 1;
    }

    /// Places in use.
    pub fn len(&self) -> usize {
        self.live
    }

    /// The connection in a place that is known to exist.
    #[inline]
    pub fn at(&mut self, index: u32) -> &mut Conn {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// The connection of a completion's tag, whatever its state; `None` when the tag is stale.
    #[inline]
    pub fn tagged(&mut self, index: u32, generation: u32) -> Option<&mut Conn> {
        let conn = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?;
        ((conn.generation ^ generation) & crate::ring::Tag::GENERATION_MASK == 0 && conn.fd >= 0).then_some(conn)
    }

    /// The connection if it is open.
    #[inline]
    pub fn live(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.chunks.get_mut(id.index as usize / CHUNK)?.get_mut(id.index as usize % CHUNK)?;
        (conn.generation == id.generation && conn.flags.has(Flags::LIVE)).then_some(conn)
    }

    /// As `live`, for looking.
    #[inline]
    pub fn live_ref(&self, id: ConnId) -> Option<&Conn> {
        let conn = self.chunks.get(id.index as usize / CHUNK)?.get(id.index as usize % CHUNK)?;
        (conn.generation == id.generation && conn.flags.has(Flags::LIVE)).then_some(conn)
    }
}

impl Drop for ConnTable {
    /// Closes what is still open when the core ends.
    fn drop(&mut self) {
        for conn in self.chunks.iter().flatten().filter(|conn| conn.fd >= 0) {
            crate::io::close(conn.fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has that many: closing it does nothing.
    const NO_FD: RawFd = RawFd::MAX;

    #[test]
    fn a_stale_id_answers_nothing() {
        let mut table = ConnTable::new();
        let first = table.open(NO_FD);
        assert!(table.live(first).is_some());
        table.release(first.index);
        assert!(table.live(first).is_none());
        let second = table.open(NO_FD);
        assert_eq!(second.index, first.index, "places are used again");
        assert_ne!(second.generation, first.generation);
        assert!(table.live(first).is_none());
        assert!(table.tagged(first.index, first.generation).is_none());
        assert!(table.tagged(second.index, second.generation).is_some());
        assert!(table.live(ConnId { index: u32::MAX, generation: 1 }).is_none());
    }

    #[test]
    fn low_indexes_come_first() {
        let mut table = ConnTable::new();
        let ids: Vec<u32> = (0..200).map(|_| table.open(NO_FD).index).collect();
        assert_eq!(ids, (0..200).collect::<Vec<_>>());
        assert_eq!(table.len(), 200);
    }
}
