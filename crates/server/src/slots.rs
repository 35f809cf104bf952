//! The order of a connection's replies while some of them wait for other cores.
//!
//! ```text
//! slots:  [remote, waiting] [local, ready] [remote, ready] [remote, waiting] …
//!          head: nothing after it may leave before it is filled
//! ```
//!
//! A command run here while an earlier reply is outstanding leaves its reply in `store`; a reply that arrives for the
//! head leaves at once and takes along all that became ready behind it. When nothing is outstanding the ring is given
//! back to its pool and replies go straight to the connection's output.

use std::collections::VecDeque;

use pinyon_resp::Output;

use crate::log::Until;

/// One place in the order.
struct Place {
    slot: Slot,
    /// What the reply must not leave before.
    until: Until,
    /// To how many commands it replies.
    count: u32,
}

impl Place {
    fn new(slot: Slot, until: Until) -> Place {
        Place { slot, until, count: 1 }
    }
}

/// One reply.
enum Slot {
    Waiting,
    /// `len` bytes of `store` at `at` (an absolute offset: `base` is subtracted).
    Stored {
        at: u64,
        len: u32,
    },
    /// A reply with shared blobs or too long to copy.
    Owned(Box<Output>),
}

/// The replies of one connection that can't leave yet, in order.
#[derive(Default)]
pub struct Slots {
    queue: VecDeque<Place>,
    /// The sequence number of the queue's front.
    head: u32,
    store: Vec<u8>,
    /// The absolute offset of `store[0]`.
    base: u64,
    /// The length of `store` at which it is looked through next.
    compact_at: usize,
    /// Replies that are still to come.
    awaited: u32,
}

/// `store` drops what has left once this much of it has.
const COMPACT_BYTES: usize = 64 * 1024;

impl Slots {
    /// True when nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a place for a reply that comes later; the number identifies it in `fill`.
    pub fn reserve(&mut self) -> u32 {
        self.queue.push_back(Place::new(Slot::Waiting, Until::Now));
        self.awaited += 1;
        self.head.wrapping_add(self.queue.len() as u32 - 1)
    }

    /// Adds the replies to `count` commands that are complete but must wait for their turn.
    pub fn push(&mut self, reply: &mut Output, count: u32, until: Until) {
        let slot = self.stored(reply);
        self.queue.push_back(Place { slot, until, count });
    }

    /// Puts in the reply for place `seq` and moves everything that may now leave to `out`; `over` says whether what a reply
    /// waits for has happened.
    pub fn fill(&mut self, seq: u32, reply: &[u8], until: Until, over: impl Fn(Until) -> bool, out: &mut Output) {
        let index = seq.wrapping_sub(self.head) as usize;
        self.awaited -= 1;
        if index == 0 && over(until) {
            self.queue.pop_front();
            self.head = self.head.wrapping_add(1);
            out.bytes_mut().extend_from_slice(reply);
            self.release(over, out);
        } else {
            let at = self.base + self.store.len() as u64;
            self.store.extend_from_slice(reply);
            self.queue[index] = Place::new(Slot::Stored { at, len: reply.len() as u32 }, until);
        }
    }

    /// As `fill`, for a reply that may share blobs.
    pub fn fill_output(
        &mut self,
        seq: u32,
        reply: &mut Output,
        until: Until,
        over: impl Fn(Until) -> bool,
        out: &mut Output,
    ) {
        let index = seq.wrapping_sub(self.head) as usize;
        self.awaited -= 1;
        self.queue[index] = Place::new(self.stored(reply), until);
        if index == 0 {
            self.release(over, out);
        }
    }

    /// Whether a reply is still to come. Those that are here may wait for the log.
    #[inline]
    pub fn is_awaiting(&self) -> bool {
        self.awaited > 0
    }

    /// How many replies are still to come.
    #[inline]
    pub fn awaited(&self) -> u32 {
        self.awaited
    }

    /// The log that replies wait for has failed: they say so instead.
    pub fn fail_held(&mut self, over: impl Fn(Until) -> bool, error: &[u8]) {
        for at in 0..self.queue.len() {
            let Place { slot, until, count } = &self.queue[at];
            if !matches!(slot, Slot::Waiting) && !over(*until) {
                let count = *count;
                let mut reply = Output::default();
                for _ in 0..count {
                    reply.bytes_mut().extend_from_slice(error);
                }
                self.queue[at] = Place { slot: self.stored(&mut reply), until: Until::Now, count };
            }
        }
    }

    /// Bytes held back here.
    pub fn memory(&self) -> usize {
        self.store.capacity() + self.queue.capacity() * size_of::<Place>()
    }

    /// Gives up all places (the connection is gone).
    pub fn clear(&mut self) {
        self.queue.clear();
        self.store.clear();
        self.base = 0;
        self.head = 0;
        self.compact_at = 0;
        self.awaited = 0;
        if self.store.capacity() > COMPACT_BYTES {
            self.store = Vec::new();
        }
    }

    fn stored(&mut self, reply: &mut Output) -> Slot {
        if reply.has_blobs() || reply.len() > COMPACT_BYTES {
            return Slot::Owned(Box::new(std::mem::take(reply)));
        }
        let at = self.base + self.store.len() as u64;
        let len = reply.len() as u32;
        self.store.extend_from_slice(reply.bytes_mut());
        reply.clear();
        Slot::Stored { at, len }
    }

    /// Moves everything that may leave now to `out`.
    pub fn release(&mut self, over: impl Fn(Until) -> bool, out: &mut Output) {
        while let Some(Place { slot, until, .. }) = self.queue.front_mut() {
            if !over(*until) {
                break;
            }
            match slot {
                Slot::Waiting => break,
                Slot::Stored { at, len } => {
                    let from = (*at - self.base) as usize;
                    out.bytes_mut().extend_from_slice(&self.store[from..from + *len as usize]);
                }
                Slot::Owned(reply) => out.append(reply),
            }
            self.queue.pop_front();
            self.head = self.head.wrapping_add(1);
        }
        if self.queue.is_empty() {
            self.store.clear();
            self.base = 0;
        } else if self.store.len() >= self.compact_at.max(COMPACT_BYTES) {
            self.compact();
        }
    }

    /// Frees the front of `store` that nothing waiting lies in. Replies are stored in the order in which they arrive, not
    /// in which they leave, so this looks at the whole queue: it waits until the store has doubled since the last time.
    fn compact(&mut self) {
        let end = self.base + self.store.len() as u64;
        let stored = self.queue.iter().filter_map(|place| match &place.slot {
            Slot::Stored { at, .. } => Some(*at),
            _ => None,
        });
        let keep_from = stored.min().unwrap_or(end);
        self.store.drain(..(keep_from - self.base) as usize);
        self.base = keep_from;
        self.compact_at = self.store.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinyon_durability::Lsn;

    fn text(out: &mut Output) -> String {
        let all: Vec<u8> = out.pieces().flatten().copied().collect();
        out.clear();
        String::from_utf8(all).unwrap()
    }

    fn over(until: Until) -> bool {
        until == Until::Now
    }

    fn output(bytes: &[u8]) -> Output {
        let mut out = Output::default();
        out.bytes_mut().extend_from_slice(bytes);
        out
    }

    #[test]
    fn replies_leave_in_the_order_asked() {
        let mut slots = Slots::default();
        let mut out = Output::default();
        let first = slots.reserve();
        slots.push(&mut output(b"b"), 1, Until::Now);
        let third = slots.reserve();
        slots.push(&mut output(b"d"), 1, Until::Now);
        assert_eq!(slots.awaited(), 2);
        slots.fill(third, b"c", Until::Now, over, &mut out);
        assert!(slots.awaited() == 1 && slots.is_awaiting());
        assert_eq!(text(&mut out), "");
        slots.fill(first, b"a", Until::Now, over, &mut out);
        assert_eq!(text(&mut out), "abcd");
        assert!(slots.is_empty());
    }

    #[test]
    fn a_ring_that_never_drains_stays_small() {
        let mut slots = Slots::default();
        let mut out = Output::default();
        let mut sent = Vec::new();
        let mut waiting = slots.reserve();
        for round in 0..10_000u32 {
            slots.push(&mut output(format!("{round:>100}").as_bytes()), 1, Until::Now);
            let next = slots.reserve();
            slots.fill(waiting, b"x", Until::Now, over, &mut out);
            waiting = next;
            sent.extend_from_slice(text(&mut out).as_bytes());
        }
        assert_eq!(sent.len(), 10_000 * 101);
        assert!(slots.memory() < 4 * COMPACT_BYTES, "{}", slots.memory());
    }

    #[test]
    fn owned_replies_keep_their_place() {
        let mut slots = Slots::default();
        let mut out = Output::default();
        let a = slots.reserve();
        let b = slots.reserve();
        let big = vec![b'z'; COMPACT_BYTES + 1];
        slots.fill_output(b, &mut output(&big), Until::Now, over, &mut out);
        slots.fill_output(a, &mut output(b"a"), Until::Now, over, &mut out);
        let all = text(&mut out);
        assert_eq!(all.len(), big.len() + 1);
        assert!(all.starts_with('a'));
    }

    #[test]
    fn a_reply_waits_for_its_record_and_the_others_behind_it() {
        let mut slots = Slots::default();
        let mut out = Output::default();
        let until = Until::Stable(1, Lsn(7));
        let first = slots.reserve();
        slots.push(&mut output(b"b"), 1, Until::Now);
        slots.push(&mut output(b"c"), 1, Until::Stable(1, Lsn(9)));
        slots.fill(first, b"a", until, over, &mut out);
        assert_eq!(text(&mut out), "");
        assert!(!slots.is_awaiting());
        let stable = |until| over(until) || matches!(until, Until::Stable(1, lsn) if lsn <= Lsn(8));
        slots.release(stable, &mut out);
        assert_eq!(text(&mut out), "ab");
        slots.fail_held(stable, b"-e");
        slots.release(stable, &mut out);
        assert_eq!(text(&mut out), "-e");
        assert!(slots.is_empty());
    }
}
