//! EXEC and WATCH where everything is on one shard: no number and no intents, that shard does it at one go.
//!
//! On the connection's own core an EXEC is a loop over its queue. On another it is one message there and one back, which
//! carries the queue along, so that nothing here depends on whether the connection still lives.

use pinyon_durability::Lsn;
use pinyon_engine::command::registry::registry;
use pinyon_engine::command::row::{Flags, Handler, KeyHandler};
use pinyon_engine::transaction::{Access, WatcherId};
use pinyon_resp::{Output, Writer};
use pinyon_runtime::{ConnId, CoreId};

use super::Watched;
use super::planted::{self, Bug};
use super::queued::{How, Multi, Queued};
use super::split::Caller;
use crate::core::{Core, Io, Mail};
use crate::dispatch::first_key;
use crate::exec::Run;
use crate::gather::Ticket;
use crate::hop::{Batch, Origin, RequestHead};
use crate::log::Until;

/// What one shard does at one go for a connection.
pub struct Unit {
    pub(super) ticket: Ticket,
    pub(super) batch: Box<Batch>,
    /// Who watches keys of that shard, in an EXEC; who wants to, in a WATCH.
    pub(super) watcher: Option<WatcherId>,
    /// Hashes of the keys that an EXEC watches there.
    pub(super) watched: Vec<(u16, u64)>,
    pub(super) what: What,
    /// What its reply waits for.
    pub(super) until: Until,
    /// The shard's clock when it ran.
    pub(super) now: i64,
}

pub(super) enum What {
    Exec {
        multi: Box<Multi>,
        /// A watched key had changed: nothing has run.
        changed: bool,
    },
    Watch,
}

impl Core {
    /// Runs a queue all of whose keys are on this shard, and answers.
    pub(super) fn exec_here(&mut self, io: &mut Io, conn: ConnId, multi: Box<Multi>, watcher: Option<WatcherId>) {
        if let Some(watcher) = watcher {
            let changed = self.has_changed(watcher);
            self.exec.shard.watches().unwatch(watcher.client);
            if changed {
                self.keep_queue(multi);
                return self.reply(io, conn, |out| out.null_array());
            }
        }
        let Some(session) = self.sessions.get(conn) else { return };
        let proto = session.proto;
        if multi.commands.len() > 1 {
            let db = session.db;
            let keyed = || multi.commands.iter().filter(|queued| queued.hash != 0);
            keyed().for_each(|queued| self.exec.shard.prefetch_bucket(db, queued.hash));
            keyed().for_each(|queued| self.exec.shard.prefetch_entry(db, queued.hash));
        }
        let mut reply = std::mem::take(&mut self.scratch);
        Writer { out: &mut reply, proto }.array(multi.commands.len());
        self.exec.waiters.together = true;
        self.exec.begin_group();
        let before = self.exec.last_lsn();
        for queued in &multi.commands {
            match registry().row(queued.id).handler {
                Handler::Shard(handler) | Handler::Spread(_, handler) => {
                    self.run_queued(io, conn, &multi, queued, handler, &mut reply);
                }
                _ => {
                    let mut output = self.run_captured(io, conn, 0, &multi, queued).unwrap_or_default();
                    reply.append(&mut output);
                }
            }
            self.show_queued(io, conn, &multi, queued);
        }
        self.exec.waiters.together = false;
        let until = self.end_unit(before);
        self.deliver_until(io, conn, &mut reply, until);
        self.scratch = reply;
        self.keep_queue(multi);
        self.serve_all(io);
    }

    #[inline]
    fn run_queued(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        multi: &Multi,
        queued: &Queued,
        handler: KeyHandler,
        reply: &mut Output,
    ) {
        let Some(session) = self.sessions.get(conn) else { return };
        let entry = registry().entry(queued.id);
        let args = multi.args(queued);
        let run = Run {
            command: queued.id,
            // Asked once, for all of them.
            flags: entry.row.flags.difference(Flags::DENYOOM | Flags::WRITE),
            handler,
            db: session.db,
            proto: session.proto,
            no_touch: session.is_touchless(),
            key_at: first_key(&entry.keys),
            hash: queued.hash,
            counts: true,
        };
        if self.leaves_node(conn, entry.row, args) {
            let error = crate::nodes::other_database(entry.row);
            self.exec.stats.failed(Some(queued.id), error.code());
            error.write(&mut Writer { out: reply, proto: run.proto });
            return;
        }
        let ns = self.exec.run(run, args, reply);
        if ns >= self.exec.watch_ns {
            self.was_slow(io, conn, queued.id, args, ns);
        }
    }

    /// Shows a command of an EXEC to the monitors.
    pub(super) fn show_queued(&mut self, io: &mut Io, conn: ConnId, multi: &Multi, queued: &Queued) {
        self.show_to_monitors(io, conn, queued.id, registry().row(queued.id), multi.args(queued));
    }

    /// Has the shard `owner` run a queue.
    pub(super) fn exec_there(
        &mut self,
        io: &mut Io,
        owner: u16,
        ticket: Ticket,
        caller: Caller,
        multi: Box<Multi>,
        watched: Option<Watched>,
    ) {
        let mut batch = self.spare_batch();
        let mut db = caller.head.db;
        for (number, queued) in multi.commands.iter().enumerate() {
            match queued.how {
                How::Keyed(_) => batch.push(caller.whole(number, queued, db), multi.args(queued).iter()),
                _ => db = multi.selects(queued, self.settings.databases).unwrap_or(db),
            }
        }
        let what = What::Exec { multi, changed: false };
        let watcher = watched.as_ref().map(|watched| watched.id);
        let watched = watched.map_or_else(Vec::new, |watched| watched.keys);
        self.send_unit(io, owner, Box::new(Unit { ticket, batch, watcher, watched, what, until: Until::Now, now: 0 }));
    }

    pub(super) fn send_unit(&mut self, io: &mut Io, owner: u16, mut unit: Box<Unit>) {
        unit.now = self.exec.clock(io.now_ms());
        self.expecting += 1;
        if owner == self.id.0 {
            self.take_unit(io, self.id, unit);
        } else {
            io.mail(CoreId(owner), Mail::Unit(unit));
        }
    }

    /// Runs another core's unit, or keeps it until it may run.
    pub(crate) fn take_unit(&mut self, io: &mut Io, from: CoreId, unit: Box<Unit>) {
        self.exec.see(unit.now);
        if self.is_unit_blocked(&unit) {
            return self.defer_unit(from, unit);
        }
        self.exec.start(io.now_ms());
        self.run_unit(io, from, unit);
    }

    /// Whether a transaction is in the way of what a unit does or depends on.
    pub(super) fn is_unit_blocked(&self, unit: &Unit) -> bool {
        self.is_batch_blocked(&unit.batch) || self.are_blocked(&unit.watched)
    }

    /// Whether a transaction is about to change one of these keys of this shard.
    pub(super) fn are_blocked(&self, watched: &[(u16, u64)]) -> bool {
        let transactions = self.exec.shard.transactions();
        transactions.is_holding()
            && !planted::has(Bug::LeavesWatched)
            && watched.iter().any(|&(_, hash)| transactions.blocks(hash, Access::Read))
    }

    pub(super) fn run_unit(&mut self, io: &mut Io, from: CoreId, mut unit: Box<Unit>) {
        let now = self.exec.clock(io.now_ms());
        unit.now = now;
        match (&mut unit.what, unit.watcher) {
            (What::Watch, Some(watcher)) => {
                let db = unit.batch.requests[0].db;
                let args = unit.batch.args(0);
                args.iter().skip(1).for_each(|key| self.exec.shard.watch(watcher, db, key));
            }
            (What::Watch, None) => unreachable!("somebody watches"),
            (What::Exec { changed, .. }, watcher) => {
                *changed = watcher.is_some_and(|watcher| self.has_changed(watcher));
                if let Some(watcher) = watcher {
                    self.exec.shard.watches().unwatch(watcher.client);
                }
                if !*changed {
                    self.exec.waiters.together = true;
                    unit.until = self.run_unit_batch(io, from, &mut unit.batch);
                    self.exec.waiters.together = false;
                }
            }
        }
        if from == self.id {
            self.unit_done(io, *unit);
        } else {
            io.mail(from, Mail::UnitDone(unit));
        }
        self.serve_all(io);
    }

    fn run_unit_batch(&mut self, io: &mut Io, from: CoreId, batch: &mut Batch) -> Until {
        self.prefetch(batch, 0, batch.requests.len());
        let mut reply = std::mem::take(&mut self.scratch);
        self.exec.begin_group();
        let before = self.exec.last_lsn();
        for index in 0..batch.requests.len() {
            self.run_request(io, from, batch, index, true, &mut reply);
            batch.push_reply(&mut reply);
        }
        self.scratch = reply;
        self.end_unit(before)
    }

    /// All commands of an EXEC have run here; what its reply waits for. `before`: the last record before them.
    fn end_unit(&mut self, before: Lsn) -> Until {
        self.exec.end_group();
        if !self.exec.holds {
            return Until::Now;
        }
        self.exec.hold(before, None);
        self.exec.until()
    }

    /// A unit is back.
    pub(crate) fn unit_done(&mut self, io: &mut Io, unit: Unit) {
        self.expecting -= 1;
        self.exec.see(unit.now);
        let Unit { ticket, mut batch, watcher, what, until, .. } = unit;
        match what {
            What::Watch => self.watched(io, ticket, watcher),
            What::Exec { multi, changed: true } => {
                self.executed(io, ticket.conn, &multi);
                self.fulfil(io, ticket, |out| out.null_array());
                self.keep_queue(multi);
            }
            What::Exec { multi, changed: false } => {
                let mut outputs: Vec<Output> = Vec::new();
                batch.each_reply(|_, output| outputs.push(output));
                self.exec.start(io.now_ms());
                self.assemble(io, ticket, &multi, outputs, until);
                self.keep_queue(multi);
            }
        }
        self.keep_batch(batch);
    }

    /// Puts the replies of the shard and those of the server's own commands together, in order.
    fn assemble(&mut self, io: &mut Io, ticket: Ticket, multi: &Multi, outputs: Vec<Output>, until: Until) {
        let conn = ticket.conn;
        let Some(session) = self.sessions.get(conn) else { return };
        let mut reply = Output::default();
        Writer { out: &mut reply, proto: session.proto }.array(multi.commands.len());
        let mut outputs = outputs.into_iter();
        for queued in &multi.commands {
            let output = match queued.how {
                How::Keyed(_) => outputs.next(),
                _ => self.run_captured(io, conn, 0, multi, queued),
            };
            reply.append(&mut output.unwrap_or_default());
            self.show_queued(io, conn, multi, queued);
        }
        self.executed(io, conn, multi);
        self.fulfil_until(io, ticket, reply, until);
    }
}

impl Caller {
    /// For command `number` of an EXEC, whole on one shard.
    pub(super) fn whole(&self, number: usize, queued: &Queued, db: pinyon_base::DbIndex) -> RequestHead {
        let origin = Origin::Whole { item: number as u32 };
        RequestHead { origin, command: queued.id, db, hash: queued.hash, ..self.head }
    }
}
