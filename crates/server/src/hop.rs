//! Commands that run on another core: they travel in batches, and a batch comes home with its replies.
//!
//! ```text
//! origin core                                     owning core
//! open batch for core k ── end of turn ─────────▶ run all its requests, replies appended
//! spare batches  ◀── replies handed out ◀──────── the same batch, sent back
//! ```
//!
//! A batch is allocated once and used over and over: a hop allocates nothing.

use pinyon_base::DbIndex;
use pinyon_durability::Lsn;
use pinyon_engine::command::registry::CommandId;
use pinyon_resp::{Args, Output, Proto, Span};
use pinyon_runtime::ConnId;

use crate::log::Until;

/// Who waits for a request's reply, on the core that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The reply slot `seq` of a connection.
    Slot { conn: ConnId, seq: u32 },
    /// The same, and the reply is not shown: CLIENT REPLY OFF.
    Quiet { conn: ConnId, seq: u32 },
    /// A transaction: part `part` of its command `item`, which is counted as one by the coordinator.
    Part { item: u32, part: u32 },
    /// A transaction: all of its command `item`.
    Whole { item: u32 },
}

impl Origin {
    /// The connection that waits, if one does.
    pub fn conn(self) -> Option<ConnId> {
        match self {
            Origin::Slot { conn, .. } | Origin::Quiet { conn, .. } => Some(conn),
            Origin::Part { .. } | Origin::Whole { .. } => None,
        }
    }
}

/// One command in a batch.
#[derive(Clone, Copy)]
pub struct Request {
    pub origin: Origin,
    pub command: CommandId,
    pub db: DbIndex,
    pub proto: Proto,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// The hash of its first key; all shards hash alike.
    pub hash: u64,
    /// The client's id, for SLOWLOG and MONITOR.
    pub client: u64,
    spans_start: u32,
    spans_end: u32,
}

impl Request {
    /// What it is beside its arguments.
    pub fn head(&self) -> RequestHead {
        let Request { origin, command, db, proto, no_touch, hash, client, .. } = *self;
        RequestHead { origin, command, db, proto, no_touch, hash, client }
    }
}

/// Commands for one core, and their replies on the way back.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    pub requests: Vec<Request>,
    /// The replies one after the other; `ends[i]` is where reply i ends.
    pub replies: Vec<u8>,
    pub ends: Vec<u32>,
    /// Replies with shared blobs or too long for `replies`: (request, reply), in order.
    pub large: Vec<(u32, Output)>,
    /// Under `appendfsync always`: the record that each reply waits for, as far as there are any.
    pub untils: Vec<Lsn>,
    /// Requests, in order, that wait for a transaction: their replies come by themselves.
    pub deferred: Vec<u32>,
    /// The sender's clock, Unix ms: the receiver's never lies before it.
    pub now: i64,
}

/// A batch is sent off when it holds this many requests or bytes, else at the end of the turn.
const BATCH_REQUESTS: usize = 256;
const BATCH_BYTES: usize = 64 * 1024;
/// Buffers grown beyond this are not kept when a batch is recycled, in bytes.
const KEEP_BYTES: usize = 256 * 1024;

/// What is needed of a request besides its arguments.
#[derive(Clone, Copy)]
pub struct RequestHead {
    pub origin: Origin,
    pub command: CommandId,
    pub db: DbIndex,
    pub proto: Proto,
    pub no_touch: bool,
    pub hash: u64,
    pub client: u64,
}

impl Batch {
    /// Adds a command with these arguments.
    pub fn push<'a>(&mut self, head: RequestHead, args: impl Iterator<Item = &'a [u8]>) {
        let spans_start = self.spans.len() as u32;
        for arg in args {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(arg);
            self.spans.push(Span { start, len: arg.len() as u32 });
        }
        let RequestHead { origin, command, db, proto, no_touch, hash, client } = head;
        let spans_end = self.spans.len() as u32;
        self.requests.push(Request { origin, command, db, proto, no_touch, hash, client, spans_start, spans_end });
    }

    /// Whether all its replies are here, lie in `replies` and wait for nothing.
    pub fn is_plain(&self) -> bool {
        self.large.is_empty() && self.deferred.is_empty() && self.untils.is_empty()
    }

    /// Whether it should leave before the turn ends.
    pub fn is_full(&self) -> bool {
        self.requests.len() >= BATCH_REQUESTS || self.bytes.len() >= BATCH_BYTES
    }

    /// The arguments of request `index`.
    pub fn args(&self, index: usize) -> Args<'_> {
        let request = &self.requests[index];
        Args { bytes: &self.bytes, spans: &self.spans[request.spans_start as usize..request.spans_end as usize] }
    }

    /// Puts down the reply of the next request, taken out of `reply`.
    pub fn push_reply(&mut self, reply: &mut Output) {
        if reply.has_blobs() || reply.len() > BATCH_BYTES {
            self.large.push((self.ends.len() as u32, std::mem::take(reply)));
        } else {
            self.replies.extend_from_slice(reply.bytes_mut());
            reply.clear();
        }
        self.ends.push(self.replies.len() as u32);
    }

    /// What the reply of request `index`, which `owner` has run, waits for.
    #[inline]
    pub fn until(&self, index: usize, owner: u16) -> Until {
        match self.untils.get(index) {
            None | Some(Lsn(0)) => Until::Now,
            Some(lsn) => Until::Stable(owner, *lsn),
        }
    }

    /// Request `index` in a batch of its own.
    pub fn lift(&self, index: usize) -> Box<Batch> {
        let mut batch = Box::<Batch>::default();
        batch.push(self.requests[index].head(), self.args(index).iter());
        batch
    }

    /// Hands out the replies in order, each with its request's origin; those of deferred requests are missing.
    #[inline]
    pub fn each_reply(&mut self, mut take: impl FnMut(Origin, Output)) {
        let mut large = std::mem::take(&mut self.large).into_iter().peekable();
        let mut start = 0;
        for (index, request) in self.requests.iter().enumerate() {
            let end = self.ends[index] as usize;
            let mut output = match large.peek() {
                Some((at, _)) if *at as usize == index => large.next().map(|(_, output)| output).unwrap_or_default(),
                _ => Output::default(),
            };
            output.bytes_mut().extend_from_slice(&self.replies[start..end]);
            start = end;
            take(request.origin, output);
        }
    }

    /// Empties it for the next use.
    pub fn recycle(&mut self) {
        self.requests.clear();
        self.ends.clear();
        self.large.clear();
        self.deferred.clear();
        self.untils.clear();
        empty(&mut self.spans);
        empty(&mut self.bytes);
        empty(&mut self.replies);
    }
}

fn empty<T>(buffer: &mut Vec<T>) {
    if buffer.capacity() * size_of::<T>() > KEEP_BYTES {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use pinyon_engine::command::registry::registry;

    use super::*;

    /// A batch is kept for the next use, but not what a command of 100,000 arguments needed.
    #[test]
    fn much_is_not_kept() {
        let command = registry().find(b"sadd").expect("a command");
        let origin = Origin::Whole { item: 0 };
        let (db, proto) = (DbIndex(0), Proto::Resp2);
        let head = RequestHead { origin, command, db, proto, no_touch: false, hash: 0, client: 0 };
        let mut batch = Batch::default();
        batch.push(head, std::iter::repeat_n(&b"argument"[..], 100_000));
        batch.recycle();
        assert!(batch.bytes.capacity() <= KEEP_BYTES, "{} bytes", batch.bytes.capacity());
        assert!(batch.spans.capacity() * size_of::<Span>() <= KEEP_BYTES, "{} spans", batch.spans.capacity());
        batch.push(head, std::iter::repeat_n(&b"argument"[..], 3));
        batch.recycle();
        assert!(batch.spans.capacity() >= 3);
    }
}
