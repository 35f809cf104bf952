//! The shard's side: grants, parts of steps, and the single commands that have to wait.
//!
//! A command on one shard alone runs at once unless a transaction holds what it touches. Then it waits here, and what its
//! connection sends to this shard later waits behind it. When a transaction lets go, those that waited run first, for they
//! hold nothing, and then the next transactions are granted. So neither can keep the other waiting for ever.

use pinyon_base::DbIndex;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::transaction::{Access, Event, Intents, TransactionId, each_intent};
use pinyon_resp::{Args, Output};
use pinyon_runtime::{ConnId, CoreId};

use super::long::Asker;
use super::planted::{self, Bug};
use super::split::Caller;
use super::unit::Unit;
use super::{Body, Outcome, Part, TxMail};
use crate::blocking::{Ask, WaitId};
use crate::core::{Core, Io, Mail};
use crate::gather::Ticket;
use crate::hop::{Batch, Origin, Request};
use crate::log::{Until, Writers};
use crate::settings::Gates;
use crate::slices::Home;

/// What waits until what it touches is free.
pub(super) enum Deferred {
    /// One command of another core's batch.
    Remote { from: CoreId, batch: Box<Batch> },
    /// One command of a connection of this core.
    Own { ticket: Ticket, batch: Box<Batch> },
    /// An EXEC or WATCH on this shard alone.
    Unit { from: CoreId, unit: Box<Unit> },
    /// A command that may wait for its keys.
    Ask { id: WaitId, ask: Box<Ask> },
}

/// The reply of a command that had to wait, on its way home.
pub struct Late {
    pub origin: Origin,
    pub until: Until,
    pub now: i64,
    pub reply: Output,
}

impl Core {
    /// Claims keys of this shard for a transaction. True: granted at once.
    pub(super) fn acquire_here(&mut self, io: &mut Io, id: TransactionId, intents: Intents) -> bool {
        let mut events = Vec::new();
        let granted = self.exec.shard.transactions_mut().acquire(id.number, intents, id, &mut events);
        self.announce(io, events);
        granted
    }

    pub(super) fn acquire_for(&mut self, io: &mut Io, id: TransactionId, now: i64, intents: Intents) {
        self.exec.see(now);
        if self.acquire_here(io, id, intents) {
            let (own, now) = (self.id.0, self.exec.clock(io.now_ms()));
            self.tell(io, id.core, TxMail { id, now, body: Body::Granted(own) });
        }
    }

    /// Runs a transaction's only part here if nobody is in the way; otherwise it waits its turn.
    pub(super) fn try_for(
        &mut self,
        io: &mut Io,
        id: TransactionId,
        now: i64,
        intents: Intents,
        part: Part,
        writers: Writers,
    ) {
        self.exec.see(now);
        let now = self.exec.clock(io.now_ms());
        let own = self.id.0;
        let result = match part {
            Part::Batch(mut batch)
                if !self.exec.shard.transactions().blocks_any(&intents) || planted::has(Bug::TriesHeld) =>
            {
                self.exec.note_writers(id.number, writers);
                self.run_held(io, id, now, &mut batch);
                let logged = self.exec.finish_part(id.number);
                Ok((Outcome::Batch(batch), logged))
            }
            part => {
                if self.acquire_here(io, id, intents) {
                    self.tell(io, id.core, TxMail { id, now, body: Body::Granted(own) });
                }
                Err(part)
            }
        };
        self.tell(io, id.core, TxMail { id, now, body: Body::Tried(own, result) });
    }

    /// Runs a part of a transaction that holds what it touches.
    pub(super) fn run_for(
        &mut self,
        io: &mut Io,
        id: TransactionId,
        now: i64,
        part: Option<Part>,
        last: bool,
        writers: Writers,
    ) {
        self.exec.see(now);
        self.exec.note_writers(id.number, writers);
        let outcome = match part {
            None => None,
            Some(Part::Batch(mut batch)) => {
                self.run_held(io, id, now, &mut batch);
                Some(Outcome::Batch(batch))
            }
            Some(Part::Work(slice)) => {
                return self.start_job(io, Home::Transaction { id, now, last }, slice);
            }
        };
        self.part_done(io, id, now, outcome, last);
    }

    /// A part has run: lets go of the keys if it was the last, and reports.
    pub(crate) fn part_done(&mut self, io: &mut Io, id: TransactionId, now: i64, outcome: Option<Outcome>, last: bool) {
        let logged = if last { self.exec.finish_part(id.number) } else { None };
        if last {
            self.exec.shard.transactions_mut().release(id.number);
            self.after_release(io);
        }
        let own = self.id.0;
        let body = match (outcome, logged) {
            (Some(outcome), logged) => Body::Ran(own, outcome, logged),
            (None, Some(logged)) => Body::Logged(own, logged),
            (None, None) => return,
        };
        self.tell(io, id.core, TxMail { id, now, body });
    }

    pub(super) fn yielded_by(&mut self, io: &mut Io, id: TransactionId) {
        self.exec.shard.transactions_mut().yielded(id.number);
        self.after_release(io);
    }

    /// Something is free again: what waited for it runs, then the next transactions have their turn.
    fn after_release(&mut self, io: &mut Io) {
        if self.exec.shard.has_changed_for_waiters() {
            self.exec.start(io.now_ms());
        }
        self.serve_all(io);
        self.run_deferred(io);
        let mut events = Vec::new();
        self.exec.shard.transactions_mut().grant(&mut events);
        self.announce(io, events);
    }

    /// Tells coordinators, and the dispatcher whether it has to look.
    fn announce(&mut self, io: &mut Io, events: Vec<Event<TransactionId>>) {
        let (own, now) = (self.id.0, self.exec.clock(io.now_ms()));
        for event in events {
            let (id, body) = match event {
                Event::Granted(id) => (id, Body::Granted(own)),
                Event::Yield(id) => (id, Body::Yield(own)),
            };
            self.tell(io, id.core, TxMail { id, now, body });
        }
        self.look_at_holds();
    }

    /// Tells the dispatcher whether commands may have to wait here.
    pub(crate) fn look_at_holds(&mut self) {
        let shard = &self.exec.shard;
        let holding = shard.transactions().is_holding() || shard.may_save_first() || !self.tx.deferred.is_empty();
        self.gates.set(Gates::INTENTS, holding);
    }

    /// A snapshot has saved what somebody may have waited for, or is over.
    pub(crate) fn saved_for_others(&mut self, io: &mut Io) {
        self.after_release(io);
    }

    /// Runs the commands of a part at the transaction's time. `maxmemory` was asked before.
    fn run_held(&mut self, io: &mut Io, id: TransactionId, now: i64, batch: &mut Batch) {
        let from = CoreId(id.core);
        self.exec.begin_group();
        self.exec.start_at(now);
        self.prefetch(batch, 0, batch.requests.len());
        let mut reply = std::mem::take(&mut self.scratch);
        for index in 0..batch.requests.len() {
            self.run_request(io, from, batch, index, true, &mut reply);
            batch.push_reply(&mut reply);
        }
        self.scratch = reply;
        self.exec.end_step(id.number);
    }

    /// Whether a transaction holds a key of this command in its way, or a snapshot has to save one before it changes.
    pub(crate) fn is_blocked(&self, id: CommandId, db: DbIndex, args: Args<'_>) -> bool {
        let shard = &self.exec.shard;
        let holding = shard.transactions().is_holding() && !planted::has(Bug::PassesHeld);
        let saving = shard.is_saving();
        let mut blocked = false;
        if holding || saving {
            each_intent(registry().entry(id), args, |position, access| {
                let key = args.get(position);
                let held = || holding && shard.transactions().blocks(shard.hash(key), access);
                let unsaved = || saving && access == Access::Write && shard.must_save_first(db, key);
                blocked = blocked || held() || unsaved();
            });
        }
        blocked
    }

    /// Whether a transaction or a snapshot is in the way of any command of a batch.
    pub(super) fn is_batch_blocked(&self, batch: &Batch) -> bool {
        let is_blocked =
            |(index, request): (usize, &Request)| self.is_blocked(request.command, request.db, batch.args(index));
        self.gates.contains(Gates::INTENTS) && batch.requests.iter().enumerate().any(is_blocked)
    }

    /// Whether a connection of another core has a command waiting here.
    pub(crate) fn waits_here(&self, core: CoreId, conn: ConnId) -> bool {
        self.tx.deferred.iter().any(|deferred| deferred.is_of(core, conn))
    }

    /// Keeps command `index` of another core's batch until it may run; its reply goes home by itself.
    pub(crate) fn defer_request(&mut self, from: CoreId, batch: &Batch, index: usize) {
        let batch = batch.lift(index);
        self.tx.deferred.push_back(Deferred::Remote { from, batch });
    }

    /// Keeps a command of an own connection until it may run. The connection waits.
    pub(crate) fn defer_own(&mut self, ticket: Ticket, batch: Box<Batch>) {
        self.tx.deferred.push_back(Deferred::Own { ticket, batch });
    }

    pub(crate) fn defer_ask(&mut self, id: WaitId, ask: Box<Ask>) {
        self.tx.deferred.push_back(Deferred::Ask { id, ask });
    }

    pub(super) fn defer_unit(&mut self, from: CoreId, unit: Box<Unit>) {
        self.tx.deferred.push_back(Deferred::Unit { from, unit });
    }

    /// Runs what waited and may run now, in order.
    fn run_deferred(&mut self, io: &mut Io) {
        if self.tx.deferred.is_empty() {
            return;
        }
        self.exec.start(io.now_ms());
        let mut waiting = std::mem::take(&mut self.tx.deferred);
        let mut kept: Vec<Deferred> = Vec::new();
        while let Some(deferred) = waiting.pop_front() {
            let behind = deferred.place().is_some_and(|(core, conn)| kept.iter().any(|other| other.is_of(core, conn)));
            if behind || self.is_deferred_blocked(&deferred) {
                kept.push(deferred);
            } else {
                self.run_late(io, deferred);
            }
        }
        self.tx.deferred.extend(kept);
    }

    /// Runs what waits for nothing but the end of the batch that it came with.
    pub(crate) fn begin_deferred(&mut self, io: &mut Io) {
        self.run_deferred(io);
        self.look_at_holds();
    }

    fn is_deferred_blocked(&self, deferred: &Deferred) -> bool {
        match deferred {
            Deferred::Remote { from, batch } => {
                let conn = batch.requests[0].origin.conn();
                conn.is_some_and(|conn| self.is_in_pieces(*from, conn)) || self.is_batch_blocked(batch)
            }
            Deferred::Own { batch, .. } => self.is_batch_blocked(batch),
            Deferred::Unit { unit, .. } => self.is_unit_blocked(unit),
            Deferred::Ask { ask, .. } => self.is_blocked(ask.head.command, ask.head.db, ask.args.args()),
        }
    }

    fn run_late(&mut self, io: &mut Io, deferred: Deferred) {
        let mut reply = Output::default();
        match deferred {
            Deferred::Remote { from, batch } => {
                if let Some(pieces) = self.pieces_of_request(&batch, 0) {
                    self.run_request_in_pieces(io, from, &batch, 0, pieces);
                    return self.keep_batch(batch);
                }
                self.run_request(io, from, &batch, 0, false, &mut reply);
                let until = self.until_of_last();
                let late = Late { origin: batch.requests[0].origin, until, now: self.exec.clock(io.now_ms()), reply };
                io.mail(from, Mail::Late(Box::new(late)));
                self.keep_batch(batch);
            }
            Deferred::Own { ticket, batch } => {
                if let Some(pieces) = self.pieces_of_request(&batch, 0) {
                    let head = batch.requests[0].head();
                    let caller = Caller { proto: head.proto, head };
                    self.run_in_pieces(io, Asker::Own(ticket), caller, pieces, batch.args(0));
                    return self.keep_batch(batch);
                }
                let own = self.id;
                self.run_request(io, own, &batch, 0, false, &mut reply);
                self.keep_batch(batch);
                let until = self.until_of_last();
                self.fulfil_until(io, ticket, reply, until);
            }
            Deferred::Unit { from, unit } => self.run_unit(io, from, unit),
            Deferred::Ask { id, ask } => self.run_ask(io, id, *ask),
        }
    }
}

impl Deferred {
    /// The connection whose later commands stay behind. One of this core waits by itself, and so does one with a unit or with a
    /// command that may wait.
    fn place(&self) -> Option<(CoreId, ConnId)> {
        match self {
            Deferred::Remote { from, batch } => batch.requests[0].origin.conn().map(|conn| (*from, conn)),
            Deferred::Own { .. } | Deferred::Unit { .. } | Deferred::Ask { .. } => None,
        }
    }

    fn is_of(&self, core: CoreId, conn: ConnId) -> bool {
        self.place() == Some((core, conn))
    }
}
