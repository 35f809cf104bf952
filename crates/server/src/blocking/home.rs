//! The client's side: asking, waiting, and the ways in which waiting ends.
//!
//! A command that waits has an entry here from its asking to its answer; the connection is promised a reply meanwhile, so
//! that nothing else of it runs.

use std::collections::{BTreeMap, BTreeSet};

use pinyon_engine::CommandError;
use pinyon_engine::command::blocking::{Blocking, Patience};
use pinyon_engine::command::registry::CommandId;
use pinyon_engine::command::row::{Command, KeyHandler};
use pinyon_resp::{Args, Output};
use pinyon_runtime::ConnId;

use super::{Ask, Body, WaitId};
use crate::core::{Core, Io};
use crate::dispatch::first_key;
use crate::exec::Run;
use crate::gather::Ticket;
use crate::hop::Origin;
use crate::kept::Kept;
use crate::log::Until;
use crate::settings::Gates;

const UNBLOCKED: CommandError = CommandError::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");

/// The waiting commands of one core's clients.
#[derive(Default)]
pub struct Home {
    waiting: BTreeMap<u64, Waiting>,
    /// Unix ms at which they have waited long enough.
    deadlines: BTreeSet<(i64, u64)>,
    last_number: u64,
    /// What came of CLIENT UNBLOCK: whether it was what ended the waiting.
    verdicts: BTreeMap<u64, bool>,
}

struct Waiting {
    ticket: Ticket,
    until: Option<i64>,
    shards: Vec<u16>,
    stage: Stage,
    /// An answer of another core is about to come.
    expected: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Waits,
    /// A shard is serving it.
    Claimed,
    /// Its shards have yet to confirm that it does not wait there any more.
    Ending {
        why: Why,
        missing: usize,
    },
}

/// Why a command stops waiting with nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    TimedOut,
    Unblocked { with_error: bool },
    Gone,
}

impl Home {
    /// Clients that wait.
    pub fn len(&self) -> usize {
        self.waiting.values().filter(|waiting| waiting.stage != Stage::Asked).count()
    }

    /// Clients that wait for so long and no longer.
    pub fn timed_len(&self) -> usize {
        self.deadlines.len()
    }

    /// When the first of them has waited long enough, in Unix ms.
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|&(until, _)| until)
    }
}

impl Core {
    /// Runs a command that tries its keys one by one. Gives its execution time here, in ns.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn run_tries(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        row: &'static Command,
        handler: KeyHandler,
        hash: u64,
        args: Args<'_>,
    ) -> u64 {
        let blocking = row.blocking.expect("the row of such a command says how");
        let patience = match (blocking.patience)(args) {
            Ok(patience) => patience,
            Err(error) => {
                self.fail_call(io, conn, id, &error);
                return self.exec.finish(id);
            }
        };
        match self.single_owner(id, args) {
            Some(owner) if patience == Patience::None => self.run_or_hop(io, conn, id, row, handler, owner, hash, args),
            Some(owner) if owner == self.id.0 && !self.is_held(conn, id, args) => {
                self.try_here(io, conn, id, row, blocking, patience, handler, args)
            }
            Some(owner) => {
                let Some(ask) = self.ask(conn, id, args) else { return 0 };
                let Some(number) = self.open_wait(io, conn, patience, vec![owner]) else { return 0 };
                self.expect_answer(number);
                let wait = WaitId { core: self.id.0, number };
                self.tell_about(io, owner, wait, Body::Ask(Box::new(ask)));
                0
            }
            None => {
                match self.exec.admits(row.flags, args) {
                    Ok(()) => self.try_over_shards(io, conn, id, patience, args),
                    Err(error) => self.fail_call(io, conn, id, &error),
                }
                self.exec.finish(id)
            }
        }
    }

    fn is_held(&self, conn: ConnId, id: CommandId, args: Args<'_>) -> bool {
        let db = self.sessions.get(conn).map(|session| session.db);
        self.gates.contains(Gates::INTENTS) && db.is_some_and(|db| self.is_blocked(id, db, args))
    }

    fn ask(&self, conn: ConnId, id: CommandId, args: Args<'_>) -> Option<Ask> {
        let session = self.sessions.get(conn)?;
        Some(Ask { head: session.head(Origin::Whole { item: 0 }, id, 0), args: Kept::new(args.iter()) })
    }

    #[allow(clippy::too_many_arguments)]
    fn try_here(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        row: &'static Command,
        blocking: &'static Blocking,
        patience: Patience,
        handler: KeyHandler,
        args: Args<'_>,
    ) -> u64 {
        let Some(session) = self.sessions.get(conn) else { return 0 };
        let run = Run {
            command: id,
            flags: row.flags,
            handler,
            db: session.db,
            proto: session.proto,
            no_touch: session.is_touchless(),
            key_at: first_key(&pinyon_engine::command::registry().entry(id).keys),
            hash: 0,
            counts: true,
        };
        let mut reply = std::mem::take(&mut self.scratch);
        let (ns, served) = self.exec.attempt(run, blocking, args, &mut reply);
        if served {
            let until = self.until_of_last();
            self.deliver_until(io, conn, &mut reply, until);
            self.scratch = reply;
            self.after_command(io);
            return ns;
        }
        self.scratch = reply;
        let Some(ask) = self.ask(conn, id, args) else { return ns };
        let Some(number) = self.open_wait(io, conn, patience, vec![self.id.0]) else { return ns };
        self.exec.wait_for_all(WaitId { core: self.id.0, number }, ask, blocking);
        self.now_waits(io, number);
        ns
    }

    /// Opens the entry of a command that may wait; the connection is promised its reply.
    pub(super) fn open_wait(&mut self, io: &mut Io, conn: ConnId, patience: Patience, shards: Vec<u16>) -> Option<u64> {
        let now = self.exec.clock(io.now_ms());
        let until = match patience {
            Patience::Millis(millis) => Some(now.saturating_add_unsigned(millis)),
            Patience::Forever | Patience::None => None,
        };
        self.sessions.get(conn)?;
        let ticket = self.promise(conn);
        self.blocking.last_number += 1;
        let number = self.blocking.last_number;
        if let Some(session) = self.sessions.get_mut(conn) {
            session.waiting = Some(number);
        }
        let waiting = Waiting { ticket, until, shards, stage: Stage::Asked, expected: false };
        self.blocking.waiting.insert(number, waiting);
        Some(number)
    }

    fn expect_answer(&mut self, number: u64) {
        if let Some(waiting) = self.blocking.waiting.get_mut(&number) {
            waiting.expected = true;
            self.expecting += 1;
        }
    }

    fn answer_came(&mut self, number: u64) {
        if let Some(waiting) = self.blocking.waiting.get_mut(&number)
            && std::mem::take(&mut waiting.expected)
        {
            self.expecting -= 1;
        }
    }

    /// All its shards have it in their queues.
    pub(super) fn now_waits(&mut self, io: &mut Io, number: u64) {
        self.answer_came(number);
        let Some(waiting) = self.blocking.waiting.get_mut(&number) else { return };
        if waiting.stage != Stage::Asked {
            return;
        }
        waiting.stage = Stage::Waits;
        let (conn, until) = (waiting.ticket.conn, waiting.until);
        if let Some(until) = until {
            self.blocking.deadlines.insert((until, number));
        }
        if self.sessions.get(conn).is_none_or(|session| session.waiting != Some(number)) {
            self.stop_waiting(io, number, Why::Gone);
        } else {
            // It may have closed its side meanwhile.
            self.leave_if_closed(io, conn);
        }
    }

    /// A client that has closed its side while it waits will never take the reply.
    pub(crate) fn leave_if_closed(&mut self, io: &mut Io, conn: ConnId) {
        use crate::session::SessionFlags;
        let Some(session) = self.sessions.get(conn) else { return };
        let waits = session.waiting.and_then(|number| self.blocking.waiting.get(&number));
        if session.flags.contains(SessionFlags::EOF) && waits.is_some_and(|waiting| waiting.stage == Stage::Waits) {
            self.kill(io, conn);
        }
    }

    /// The reply is there.
    pub(super) fn served(&mut self, io: &mut Io, number: u64, reply: Output, until: Until) {
        self.answer_came(number);
        if let Some((ticket, stage)) = self.close_wait(number) {
            if matches!(stage, Stage::Ending { why: Why::Unblocked { .. }, .. }) {
                self.blocking.verdicts.insert(number, false);
            }
            self.fulfil_until(io, ticket, reply, until);
        }
    }

    /// The reply of a command over several shards, unless it waits.
    pub(super) fn answer_unless_waiting(&mut self, io: &mut Io, number: u64, reply: Output) {
        if self.blocking.waiting.get(&number).is_some_and(|waiting| waiting.stage == Stage::Asked) {
            let until = self.until_of_transaction();
            self.served(io, number, reply, until);
        }
    }

    fn close_wait(&mut self, number: u64) -> Option<(Ticket, Stage)> {
        let waiting = self.blocking.waiting.remove(&number)?;
        if let Some(until) = waiting.until {
            self.blocking.deadlines.remove(&(until, number));
        }
        if let Some(session) = self.sessions.get_mut(waiting.ticket.conn)
            && session.waiting == Some(number)
        {
            session.waiting = None;
        }
        Some((waiting.ticket, waiting.stage))
    }

    /// Has a command that waits stop waiting. False: it does not wait, or is about to be answered.
    pub(crate) fn stop_waiting(&mut self, io: &mut Io, number: u64, why: Why) -> bool {
        let Some(waiting) = self.blocking.waiting.get_mut(&number) else { return false };
        if waiting.stage != Stage::Waits {
            return false;
        }
        let shards = waiting.shards.clone();
        waiting.stage = Stage::Ending { why, missing: shards.len() };
        let id = WaitId { core: self.id.0, number };
        shards.into_iter().for_each(|shard| self.tell_about(io, shard, id, Body::Cancel));
        true
    }

    /// A shard confirms that it waits there no more.
    pub(super) fn cancelled(&mut self, io: &mut Io, number: u64) {
        let Some(waiting) = self.blocking.waiting.get_mut(&number) else { return };
        let Stage::Ending { why, missing } = &mut waiting.stage else { return };
        *missing -= 1;
        if *missing > 0 {
            return;
        }
        let why = *why;
        let Some((ticket, _)) = self.close_wait(number) else { return };
        match why {
            Why::TimedOut => self.fulfil(io, ticket, |out| out.null_array()),
            Why::Gone => {}
            Why::Unblocked { with_error } => {
                self.blocking.verdicts.insert(number, true);
                if with_error {
                    self.fail(io, ticket, &UNBLOCKED);
                } else {
                    self.fulfil(io, ticket, |out| out.null_array());
                }
            }
        }
    }

    /// Whether the shard that asks may serve it: the first one may.
    pub(super) fn claim(&mut self, io: &mut Io, number: u64, shard: u16) -> bool {
        let Some(waiting) = self.blocking.waiting.get_mut(&number) else { return false };
        if !matches!(waiting.stage, Stage::Asked | Stage::Waits) {
            return false;
        }
        waiting.stage = Stage::Claimed;
        let others: Vec<u16> = waiting.shards.iter().copied().filter(|&other| other != shard).collect();
        let id = WaitId { core: self.id.0, number };
        others.into_iter().for_each(|other| self.tell_about(io, other, id, Body::Cancel));
        true
    }

    /// Ends the waiting of those that have waited long enough.
    pub(crate) fn time_out_waits(&mut self, io: &mut Io) {
        let now = io.now_ms();
        while let Some(&(until, number)) = self.blocking.deadlines.first()
            && until <= now
        {
            self.blocking.deadlines.remove(&(until, number));
            self.stop_waiting(io, number, Why::TimedOut);
        }
    }

    /// CLIENT UNBLOCK for a client of this core. Gives the number to ask about it; None: it does not wait.
    pub(crate) fn unblock_client(&mut self, io: &mut Io, client: u64, with_error: bool) -> Option<u64> {
        let session = self.sessions.iter().find(|session| session.id == client)?;
        let number = session.waiting?;
        self.stop_waiting(io, number, Why::Unblocked { with_error }).then_some(number)
    }

    /// What came of `unblock_client`; None: that is not known yet.
    pub(crate) fn unblock_verdict(&mut self, number: u64) -> Option<bool> {
        self.blocking.verdicts.remove(&number)
    }
}
