//! The traffic of batches between cores: filling them, running those of others, handing out replies.

use pinyon_durability::Lsn;
use pinyon_engine::command::long::Pieces;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Flags, Handler};
use pinyon_resp::{Args, Output};
use pinyon_runtime::{ConnId, CoreId};

use crate::core::{Core, Io, Mail};
use crate::dispatch::first_key;
use crate::exec::Run;
use crate::hop::{Batch, Origin, RequestHead};
use crate::log::{Until, is_over};
use crate::session::SessionFlags;
use crate::settings::Gates;
use crate::slots::Slots;
use crate::slowlog::SlowEntry;
use crate::tx::Late;

/// Requests of a batch whose buckets are prefetched together.
const PREFETCH: usize = 16;
/// Empty batches and reply rings kept for the next use, per core.
const SPARE_BATCHES: usize = 64;
const SPARE_SLOTS: usize = 256;

impl Core {
    /// Sends a command to the core `owner`: it leaves with the turn's batch.
    #[inline]
    pub fn hop<'a>(&mut self, io: &mut Io, owner: u16, head: RequestHead, args: impl Iterator<Item = &'a [u8]>) {
        self.exec.stats.hops += 1;
        let open = &mut self.open_batches[usize::from(owner)];
        let batch = open.get_or_insert_with(|| self.spare_batches.pop().unwrap_or_default());
        batch.push(head, args);
        if batch.is_full() {
            self.flush_hop(io, owner);
        }
    }

    /// Sends off all batches begun in this turn.
    pub fn flush_hops(&mut self, io: &mut Io) {
        for owner in 0..self.shards {
            self.flush_hop(io, owner);
        }
    }

    fn flush_hop(&mut self, io: &mut Io, owner: u16) {
        if let Some(mut batch) = self.open_batches[usize::from(owner)].take() {
            self.expecting += 1;
            batch.now = self.exec.clock(io.now_ms());
            io.mail(CoreId(owner), Mail::Batch(batch));
        }
    }

    /// Runs another core's requests and sends the batch back with the replies.
    pub fn run_batch(&mut self, io: &mut Io, from: CoreId, mut batch: Box<Batch>) {
        self.exec.see(batch.now);
        self.exec.start(io.now_ms());
        let mut begins = false;
        let mut reply = std::mem::take(&mut self.scratch);
        for begin in (0..batch.requests.len()).step_by(PREFETCH) {
            let end = batch.requests.len().min(begin + PREFETCH);
            self.prefetch(&batch, begin, end);
            for index in begin..end {
                let waits = self.gates.contains(Gates::INTENTS) && self.must_wait(from, &batch, index);
                if waits || self.pieces_of_request(&batch, index).is_some() {
                    self.defer_request(from, &batch, index);
                    batch.deferred.push(index as u32);
                    // One in pieces begins when the batch is on its way: its reply must not come home first.
                    begins |= !waits;
                    self.gates.insert(Gates::INTENTS);
                } else {
                    self.run_request(io, from, &batch, index, false, &mut reply);
                    if self.exec.holds {
                        batch.untils.resize(index, Lsn(0));
                        batch.untils.push(self.exec.until);
                    }
                }
                batch.push_reply(&mut reply);
            }
        }
        self.scratch = reply;
        batch.now = self.exec.clock(io.now_ms());
        io.mail(from, Mail::Replies(batch));
        if begins {
            self.begin_deferred(io);
        }
    }

    /// Fetches what the requests `begin..end` will touch.
    #[inline]
    pub(crate) fn prefetch(&self, batch: &Batch, begin: usize, end: usize) {
        for request in &batch.requests[begin..end] {
            self.exec.shard.prefetch_bucket(request.db, request.hash);
        }
        for request in &batch.requests[begin..end] {
            self.exec.shard.prefetch_entry(request.db, request.hash);
        }
    }

    /// Whether a request must wait for a transaction, or behind one of its connection that does.
    #[cold]
    fn must_wait(&self, from: CoreId, batch: &Batch, index: usize) -> bool {
        let request = &batch.requests[index];
        self.is_blocked(request.command, request.db, batch.args(index))
            || request.origin.conn().is_some_and(|conn| self.waits_here(from, conn) || self.is_in_pieces(from, conn))
    }

    #[inline]
    pub(crate) fn pieces_of_request(&mut self, batch: &Batch, index: usize) -> Option<Pieces> {
        let request = &batch.requests[index];
        self.pieces_of(request.command, request.db, batch.args(index))
    }

    /// Runs one request of another core. `held`: within a transaction, for which `maxmemory` and the log
    /// were asked already.
    #[inline]
    pub(crate) fn run_request(
        &mut self,
        io: &mut Io,
        from: CoreId,
        batch: &Batch,
        index: usize,
        held: bool,
        reply: &mut Output,
    ) {
        let request = &batch.requests[index];
        let entry = registry().entry(request.command);
        let row = entry.row;
        let (Handler::Shard(handler) | Handler::Spread(_, handler)) = row.handler else {
            unreachable!("only commands on keys travel in batches");
        };
        let run = Run {
            command: request.command,
            flags: if held { row.flags.difference(Flags::DENYOOM | Flags::WRITE) } else { row.flags },
            handler,
            db: request.db,
            proto: request.proto,
            no_touch: request.no_touch,
            key_at: first_key(&entry.keys),
            hash: request.hash,
            counts: !matches!(request.origin, Origin::Part { .. }),
        };
        let args = batch.args(index);
        let ns = self.exec.run(run, args, reply);
        if ns >= self.exec.watch_ns {
            self.latency_sample(io.now_ms(), request.command, ns);
            if ns >= self.settings.slow_ns {
                let mut entry = SlowEntry::new(&self.shared, io.now_ms(), ns, request.command, args);
                entry.client = request.client;
                io.mail(from, Mail::Slow(Box::new(entry)));
            }
        }
        self.after_command(io);
    }

    /// Hands out the replies that a batch brought home.
    pub fn take_replies(&mut self, io: &mut Io, from: CoreId, mut batch: Box<Batch>) {
        self.expecting -= 1;
        self.exec.see(batch.now);
        // Those that wait come home one by one.
        self.expecting += batch.deferred.len();
        if batch.is_plain() {
            self.hand_out_plain(io, &batch);
        } else {
            self.hand_out(io, from, &mut batch);
        }
        self.keep_batch(batch);
    }

    /// The replies of a batch that wait for nothing: those that follow each other and belong to one connection together.
    fn hand_out_plain(&mut self, io: &mut Io, batch: &Batch) {
        let (mut index, mut start) = (0, 0);
        while index < batch.requests.len() {
            let Some(conn) = batch.requests[index].origin.conn() else {
                unreachable!("transactions have messages of their own")
            };
            let run = batch.requests[index..].iter().take_while(|request| request.origin.conn() == Some(conn)).count();
            let (first, last) = (index, index + run);
            index = last;
            let mut begin = start;
            start = batch.ends[last - 1] as usize;
            let Some(session) = self.sessions.get_mut(conn) else { continue };
            let (Some(slots), Some(out)) = (&mut session.slots, io.output(conn)) else { continue };
            let over = |until| is_over(&self.exec, &self.tx.placings, until);
            for (request, &end) in batch.requests[first..last].iter().zip(&batch.ends[first..last]) {
                let reply = &batch.replies[begin..end as usize];
                begin = end as usize;
                match request.origin {
                    Origin::Slot { seq, .. } => slots.fill(seq, reply, Until::Now, over, out),
                    Origin::Quiet { seq, .. } => slots.fill(seq, b"", Until::Now, over, out),
                    Origin::Part { .. } | Origin::Whole { .. } => {}
                }
            }
            self.after_fill(io, conn, Until::Now);
            self.check_output(io, conn);
        }
    }

    /// The replies of any batch, one by one.
    fn hand_out(&mut self, io: &mut Io, from: CoreId, batch: &mut Batch) {
        let mut deferred = batch.deferred.iter().peekable();
        let mut large = std::mem::take(&mut batch.large).into_iter().peekable();
        let mut start = 0;
        let mut last = None;
        for (index, request) in batch.requests.iter().enumerate() {
            let end = batch.ends[index] as usize;
            let reply = &batch.replies[start..end];
            start = end;
            let owned = match large.peek() {
                Some((at, _)) if *at as usize == index => large.next().map(|(_, output)| output),
                _ => None,
            };
            if deferred.next_if(|&&at| at as usize == index).is_some() {
                continue;
            }
            let until = batch.until(index, from.0);
            match (request.origin, owned) {
                (Origin::Slot { conn, seq }, None) => self.fill_slot_bytes(io, conn, seq, reply, until),
                (Origin::Slot { conn, seq }, Some(mut output)) => self.fill_slot(io, conn, seq, &mut output, until),
                (Origin::Quiet { conn, seq }, _) => self.fill_slot_bytes(io, conn, seq, b"", Until::Now),
                (Origin::Part { .. } | Origin::Whole { .. }, _) => {
                    unreachable!("transactions have messages of their own")
                }
            }
            if let Origin::Slot { conn, .. } = request.origin
                && last != Some(conn)
                && let Some(previous) = last.replace(conn)
            {
                self.check_output(io, previous);
            }
        }
        if let Some(conn) = last {
            self.check_output(io, conn);
        }
    }

    /// Takes in the reply of a command that had to wait elsewhere.
    pub fn take_late(&mut self, io: &mut Io, late: Late) {
        self.expecting -= 1;
        self.exec.see(late.now);
        let Late { origin, mut reply, until, .. } = late;
        match origin {
            Origin::Slot { conn, seq } => {
                self.fill_slot(io, conn, seq, &mut reply, until);
                self.check_output(io, conn);
            }
            Origin::Quiet { conn, seq } => self.fill_slot_bytes(io, conn, seq, b"", Until::Now),
            Origin::Part { .. } | Origin::Whole { .. } => unreachable!("transactions have messages of their own"),
        }
    }

    /// Keeps a batch that has come home for the next use.
    pub(crate) fn keep_batch(&mut self, mut batch: Box<Batch>) {
        batch.recycle();
        if self.spare_batches.len() < SPARE_BATCHES {
            self.spare_batches.push(batch);
        }
    }

    #[inline]
    fn fill_slot_bytes(&mut self, io: &mut Io, conn: ConnId, seq: u32, reply: &[u8], until: Until) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let (Some(slots), Some(out)) = (&mut session.slots, io.output(conn)) else { return };
        let (exec, placings) = (&self.exec, &self.tx.placings);
        slots.fill(seq, reply, until, |until| is_over(exec, placings, until), out);
        self.after_fill(io, conn, until);
    }

    /// A reply has come: if it was the last outstanding one the ring goes, or it waits for the log.
    #[inline]
    fn after_fill(&mut self, io: &mut Io, conn: ConnId, until: Until) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.slots.as_ref().is_some_and(|slots| slots.is_empty()) {
            return self.release_slots(io, conn);
        }
        if until != Until::Now {
            self.end_draining(conn);
            self.hold_reply(io, conn);
        } else if self.exec.holds {
            self.end_draining(conn);
        }
    }

    /// A session that has waited for its replies to come goes on when all are here, though some wait for the log.
    fn end_draining(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let drains = session.flags.contains(SessionFlags::DRAINING);
        if drains && !session.slots.as_ref().is_some_and(|slots| slots.is_awaiting()) {
            session.flags.remove(SessionFlags::DRAINING);
            self.mark_ready(conn);
        }
    }

    /// Puts a reply into its place among those of `conn`; what may leave, leaves.
    pub fn fill_slot(&mut self, io: &mut Io, conn: ConnId, seq: u32, reply: &mut Output, until: Until) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let (Some(slots), Some(out)) = (&mut session.slots, io.output(conn)) else { return };
        let (exec, placings) = (&self.exec, &self.tx.placings);
        slots.fill_output(seq, reply, until, |until| is_over(exec, placings, until), out);
        self.after_fill(io, conn, until);
    }

    pub(crate) fn release_slots(&mut self, io: &mut Io, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let Some(slots) = session.slots.take() else { return };
        let closing = session.flags.contains(SessionFlags::CLOSING);
        let drained = session.flags.contains(SessionFlags::DRAINING);
        session.flags.remove(SessionFlags::DRAINING);
        self.keep_slots(slots);
        self.release_messages(io, conn);
        io.release(conn);
        if drained {
            self.mark_ready(conn);
        }
        if closing {
            io.close_after_output(conn);
        } else {
            self.finish_eof(io, conn);
        }
    }

    /// Keeps a reply ring that is no longer needed for the next session that needs one.
    pub(crate) fn keep_slots(&mut self, mut slots: Box<Slots>) {
        slots.clear();
        if self.slots_pool.len() < SPARE_SLOTS {
            self.slots_pool.push(slots);
        }
    }

    /// Looks at a command of an own client that took long, for the slow log and the latency monitor.
    #[cold]
    pub fn was_slow(&mut self, io: &mut Io, conn: ConnId, id: CommandId, args: Args<'_>, ns: u64) {
        self.latency_sample(io.now_ms(), id, ns);
        if ns >= self.settings.slow_ns {
            let mut entry = SlowEntry::new(&self.shared, io.now_ms(), ns, id, args);
            if let Some(session) = self.sessions.get(conn) {
                entry.client = session.id;
                entry.describe(session);
            }
            self.slowlog.push(entry);
        }
    }

    /// Takes in a slow command of an own client that ran on another core.
    pub fn record_slow(&mut self, mut entry: SlowEntry) {
        if let Some(session) = self.sessions.iter().find(|session| session.id == entry.client) {
            entry.describe(session);
        }
        self.slowlog.push(entry);
    }
}
