//! Sending: at the end of a turn one send per connection with something to say.
//!
//! Nearly always the socket has room, and the send is over when the turn's `enter` returns. So a
//! send is submitted as `MSG_DONTWAIT | MSG_WAITALL` with CQE_SKIP_SUCCESS: sent in full, it leaves
//! no completion at all, which saves the completion and, above all, keeps it from ending the sleep
//! that the same `enter` begins. Otherwise its completion (bytes sent so far, EAGAIN, an error) is
//! in the queue when `enter` returns. `settle` then counts every send of the turn as done that did
//! not complain. A send that found no room is followed by one that waits for room (`SENDING`).
//!
//! What a program has written while the rest is still to come from other cores may be *held* a moment,
//! so that it leaves with the rest: a send costs as much as some twenty commands.
//!
//! Order: a connection has at most one send in the kernel; what the program writes meanwhile
//! gathers in `out` and becomes the next flight.

use std::mem;
use std::ptr;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags as SqFlags};
use io_uring::types::{Fd, Fixed};
use pinyon_resp::Output;

use crate::app::ConnId;
use crate::buffers::OutputPool;
use crate::conn::{Conn, Flags, Message};
use crate::io::Io;
use crate::ring::{Op, Tag};

/// The most that one send of a turn brings: bounds the time that copying a big reply takes from
/// everybody else. The rest follows in the next turn.
const SEND_NOW_BYTES_MAX: usize = 256 * 1024;
/// The most that one send waits to bring. It is copied at one go, too: a reader that is slow for a moment may have left
/// megabytes of room.
const SEND_WAIT_BYTES_MAX: usize = 512 * 1024;
/// The most pieces of one send.
const PIECES_MAX: usize = 256;

const FLAGS_NOW: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;
const FLAGS_WAIT: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// The longest that output waits for more.
const HOLD_US: u64 = 500;
/// Output that has grown to this is not held.
const HOLD_BYTES_MAX: usize = 16 * 1024;

/// The sends that were submitted this turn and are over when `enter` returns.
#[derive(Default)]
pub(crate) struct Sending {
    now: Vec<SentNow>,
}

struct SentNow {
    index: u32,
    bytes: u32,
}

impl<M: Send + 'static> Io<M> {
    /// Queues one send for each connection with output. Whether the end of one of them matters, so
    /// that the core must not sleep through it (it makes no completion): because more is to be
    /// sent, the connection is to be closed then, or the program has paused it and may wait for
    /// its output to go away.
    pub(crate) fn queue_sends(&mut self) -> bool {
        let mut more = false;
        let mut dirty = mem::take(&mut self.dirty);
        dirty.append(&mut self.pushed);
        let mut kept = 0;
        for place in 0..dirty.len() {
            let index = dirty[place];
            let slot = self.conns.at(index);
            if !slot.flags.has(Flags::DIRTY) {
                continue;
            }
            if slot.is_holding() {
                dirty[kept] = index;
                kept += 1;
                continue;
            }
            slot.flags.clear(Flags::DIRTY);
            if !slot.flags.has(Flags::LIVE) || slot.flags.has(Flags::SENDING) {
                continue;
            }
            if slot.flight.is_empty() {
                if slot.out.is_empty() {
                    give_back(&mut self.pool, &mut slot.out);
                    if slot.flags.has(Flags::FINISHING) {
                        self.doom(index);
                    }
                    continue;
                }
                slot.flight = mem::take(&mut slot.out);
                slot.flight_sent = 0;
            }
            let wait = slot.flags.has(Flags::CONGESTED);
            let limit = if wait { SEND_WAIT_BYTES_MAX } else { SEND_NOW_BYTES_MAX };
            let (entry, bytes) = slot.send_entry(index, limit, wait);
            let tag = Tag::new(if wait { Op::SendWait } else { Op::SendNow }, index, slot.generation);
            let mut entry = entry.user_data(tag.pack());
            if wait {
                slot.flags.set(Flags::SENDING);
                slot.ops += 1;
                self.stats.send_waits += 1;
            } else {
                entry = entry.flags(SqFlags::SKIP_SUCCESS);
                let matters = Flags::FINISHING.or(Flags::PAUSED);
                more |= slot.unsent() > bytes || slot.flags.has(matters);
                self.sending.now.push(SentNow { index, bytes: bytes as u32 });
            }
            self.stats.sends += 1;
            // SAFETY: the entry points into the flight (and its message), which stay unchanged
            // until the send is settled or has completed.
            unsafe { self.ring.push(&entry) };
        }
        // Keep the list's memory; nothing was added meanwhile.
        dirty.truncate(kept);
        self.dirty = dirty;
        more
    }

    /// Keeps what is written to the connection until [`Io::release`], but not for long: replies to the same pipeline
    /// are still to come from other cores, and should leave together with those that are there.
    #[inline]
    pub fn hold(&mut self, conn: ConnId) {
        let until = self.now_us + HOLD_US;
        let Some(slot) = self.conns.live(conn) else { return };
        if !slot.flags.has(Flags::HELD) {
            slot.flags.set(Flags::HELD);
            slot.held_until = until as u32;
            self.held.push_back((conn.index, until));
        }
    }

    /// Lets the connection's output leave with this turn's end.
    #[inline]
    pub fn release(&mut self, conn: ConnId) {
        if let Some(slot) = self.conns.live(conn) {
            slot.flags.clear(Flags::HELD);
        }
    }

    /// Releases connections that were held long enough, all with `now` at the end of time. Gives when the next one is due.
    pub(crate) fn release_due(&mut self, now: u64) -> Option<u64> {
        while let Some(&(index, until)) = self.held.front() {
            let slot = self.conns.at(index);
            if slot.flags.has(Flags::HELD) && slot.held_until == until as u32 {
                if until > now {
                    return Some(until);
                }
                slot.flags.clear(Flags::HELD);
            }
            self.held.pop_front();
        }
        None
    }

    /// A send of this turn did not finish at once.
    pub(crate) fn send_now_failed(&mut self, tag: Tag, result: i32) {
        let Some(slot) = self.conns.tagged(tag.index, tag.generation) else { return };
        slot.flags.set(Flags::CONGESTED);
        slot.flags.set(Flags::COMPLAINED);
        self.sent(tag.index, result);
    }

    /// A send that waited for room is over.
    pub(crate) fn send_waited(&mut self, tag: Tag, result: i32) {
        let Some(slot) = self.conns.tagged(tag.index, tag.generation) else { return };
        slot.flags.clear(Flags::SENDING);
        slot.ops -= 1;
        if !slot.flags.has(Flags::LIVE) {
            self.release_if_quiet(tag.index);
            return;
        }
        self.sent(tag.index, result);
    }

    /// Counts all sends of this turn that did not complain as done. To be called when all
    /// completions were looked at.
    pub(crate) fn settle_sends(&mut self) {
        let mut now = mem::take(&mut self.sending.now);
        for sent in now.drain(..) {
            let slot = self.conns.at(sent.index);
            if slot.flags.has(Flags::COMPLAINED) {
                slot.flags.clear(Flags::COMPLAINED);
            } else {
                self.sent(sent.index, sent.bytes as i32);
            }
        }
        self.sending.now = now;
    }

    /// Accounts for what a send of the flight brought, and has the rest sent.
    #[inline]
    fn sent(&mut self, index: u32, result: i32) {
        let slot = self.conns.at(index);
        if result < 0 && !matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ECANCELED) {
            // EPIPE, ECONNRESET, ETIMEDOUT: the peer is gone.
            tracing::trace!(index, errno = -result, "send failed");
            self.doom(index);
            return;
        }
        let bytes = result.max(0) as usize;
        self.stats.sent_bytes += bytes as u64;
        slot.flight_sent += bytes;
        debug_assert!(slot.flight_sent <= slot.flight.len());
        if slot.flight_sent == slot.flight.len() {
            slot.flags.clear(Flags::CONGESTED);
            slot.flight_sent = 0;
            slot.message = None;
            give_back(&mut self.pool, &mut slot.flight);
            if slot.out.is_empty() && !slot.flags.has(Flags::FINISHING) {
                return;
            }
        }
        if !slot.flags.has(Flags::DIRTY) {
            slot.flags.set(Flags::DIRTY);
            self.dirty.push(index);
        }
    }
}

/// Gives the memory of an output that is done with back to the pool.
#[inline]
pub(crate) fn give_back(pool: &mut OutputPool, output: &mut Output) {
    let mut output = mem::take(output);
    let buffer = mem::take(output.bytes_mut());
    pool.give_back(buffer);
}

impl Conn {
    /// Whether its output is to wait.
    #[inline]
    fn is_holding(&self) -> bool {
        self.flags.has(Flags::HELD)
            && self.flags.has(Flags::LIVE)
            && !self.flags.has(Flags::FINISHING.or(Flags::PAUSED))
            && self.out.len() < HOLD_BYTES_MAX
    }

    /// The submission that sends up to `limit` bytes of what is left of the flight, and how many
    /// bytes that is.
    fn send_entry(&mut self, index: u32, limit: usize, wait: bool) -> (Entry, usize) {
        let flags = if wait { FLAGS_WAIT } else { FLAGS_NOW };
        let registered = self.flags.has(Flags::REGISTERED);
        if !self.flight.has_blobs() {
            let Some(bytes) = self.flight.pieces_from(self.flight_sent).next() else {
                unreachable!("a flight with nothing left was settled")
            };
            let len = bytes.len().min(limit);
            let entry = if registered {
                opcode::Send::new(Fixed(index), bytes.as_ptr(), len as u32).flags(flags).build()
            } else {
                opcode::Send::new(Fd(self.fd), bytes.as_ptr(), len as u32).flags(flags).build()
            };
            return (entry, len);
        }
        // SAFETY: a msghdr is plain data, for which zero is a valid value.
        let empty = || Message { header: unsafe { mem::zeroed() }, pieces: Vec::new() };
        let message = self.message.get_or_insert_with(|| Box::new(empty()));
        message.pieces.clear();
        let mut total = 0;
        for piece in self.flight.pieces_from(self.flight_sent) {
            let len = piece.len().min(limit - total);
            message.pieces.push(libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: len });
            total += len;
            if total == limit || message.pieces.len() == PIECES_MAX {
                break;
            }
        }
        message.header.msg_iov = message.pieces.as_mut_ptr();
        message.header.msg_iovlen = message.pieces.len();
        let header = ptr::from_ref(&message.header);
        let entry = if registered {
            opcode::SendMsg::new(Fixed(index), header).flags(flags as u32).build()
        } else {
            opcode::SendMsg::new(Fd(self.fd), header).flags(flags as u32).build()
        };
        (entry, total)
    }
}
