//! Receiving: one multishot receive per connection, which brings data in provided buffers until it
//! is cancelled, runs out of buffers, or the connection ends.

use io_uring::opcode;
use io_uring::types::{Fd, Fixed};

use crate::buffers::GROUP;
use crate::conn::Flags;
use crate::io::Io;
use crate::ring::{Op, Tag};

/// What a completed receive asks the core loop to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// Nothing: bytes were kept or dropped, or the receive will be armed again.
    Done,
    /// Deliver the buffer's bytes.
    Data,
    /// Tell that the peer has ended its side.
    Eof,
}

impl<M: Send + 'static> Io<M> {
    /// Arms the receive at the end of the turn unless something speaks against it then.
    pub(crate) fn receive_later(&mut self, index: u32) {
        let slot = self.conns.at(index);
        if !slot.flags.has(Flags::REARM) {
            slot.flags.set(Flags::REARM);
            self.rearm.push(index);
        }
    }

    /// Arms what `receive_later` named. To be called after buffers were given back.
    pub(crate) fn arm_receives(&mut self) {
        while let Some(index) = self.rearm.pop() {
            let slot = self.conns.at(index);
            if !slot.flags.has(Flags::REARM) {
                continue;
            }
            slot.flags.clear(Flags::REARM);
            let against = Flags::PAUSED.or(Flags::EOF).or(Flags::RECEIVING);
            if !slot.flags.has(Flags::LIVE) || slot.flags.has(against) {
                continue;
            }
            slot.flags.set(Flags::RECEIVING);
            slot.flags.clear(Flags::CANCELLING);
            slot.ops += 1;
            let tag = Tag::new(Op::Recv, index, slot.generation);
            let entry = if slot.flags.has(Flags::REGISTERED) {
                opcode::RecvMulti::new(Fixed(index), GROUP).build()
            } else {
                opcode::RecvMulti::new(Fd(slot.fd), GROUP).build()
            };
            // SAFETY: received bytes go to the registered buffers, which outlive the ring.
            unsafe { self.ring.push(&entry.user_data(tag.pack())) };
        }
    }

    /// Digests one completion of a receive. `bytes` are those of the buffer that came with it.
    pub(crate) fn received(&mut self, tag: Tag, result: i32, bytes: Option<&[u8]>, more: bool) -> Received {
        let Some(slot) = self.conns.tagged(tag.index, tag.generation) else {
            debug_assert!(false, "a receive of a place that was freed: {tag:?}");
            return Received::Done;
        };
        if !more {
            slot.flags.clear(Flags::RECEIVING);
            slot.flags.clear(Flags::CANCELLING);
            slot.ops -= 1;
        }
        if !slot.flags.has(Flags::LIVE) {
            if !more {
                self.release_if_quiet(tag.index);
            }
            return Received::Done;
        }
        match (result, bytes) {
            (1.., Some(bytes)) => {
                self.stats.recvs += 1;
                self.stats.recv_bytes += bytes.len() as u64;
                if !more {
                    self.receive_later(tag.index);
                }
                let slot = self.conns.at(tag.index);
                if slot.flags.has(Flags::FINISHING) {
                    return Received::Done;
                }
                if slot.flags.has(Flags::PAUSED) || slot.kept.is_some() {
                    slot.kept.get_or_insert_default().extend_from_slice(bytes);
                    return Received::Done;
                }
                Received::Data
            }
            (0, _) => {
                slot.flags.set(Flags::EOF);
                if slot.kept.is_some() || slot.flags.has(Flags::EOF_TOLD.or(Flags::FINISHING)) {
                    return Received::Done;
                }
                slot.flags.set(Flags::EOF_TOLD);
                Received::Eof
            }
            (error, _) => {
                match -error {
                    libc::ENOBUFS => self.stats.recv_starved += 1,
                    libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                    other => {
                        // The peer reset the connection, or it timed out.
                        tracing::trace!(index = tag.index, errno = other, "receive failed");
                        self.doom(tag.index);
                        return Received::Done;
                    }
                }
                if !more {
                    self.receive_later(tag.index);
                }
                Received::Done
            }
        }
    }
}
