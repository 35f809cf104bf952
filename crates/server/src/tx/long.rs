//! Commands on values so big that they are carried out in pieces ([`pinyon_engine::command::long`]): a transaction on one
//! shard, which holds the command's keys while pieces and other commands take turns.
//!
//! The command may have come from another core; the reply then goes home by itself. What its connection sends here behind it
//! stays behind it.

use std::sync::Arc;

use pinyon_base::DbIndex;
use pinyon_engine::command::long::{Pieces, Work, seal};
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::Command;
use pinyon_engine::{CommandError, Cx, Effect};
use pinyon_resp::{Args, Output, Writer};
use pinyon_runtime::{ConnId, CoreId};

use super::shard::Late;
use super::split::{Caller, SharedArgs};
use super::{Outcomes, Part, Script, Step};
use crate::core::{Core, Io, Mail};
use crate::exec::Change;
use crate::gather::Ticket;
use crate::hop::{Batch, Origin};
use crate::kept::Kept;

/// Who waits for the reply.
#[derive(Clone, Copy)]
pub(crate) enum Asker {
    Own(Ticket),
    Remote { from: CoreId, origin: Origin },
}

/// Such a command under way.
struct InPieces {
    asker: Asker,
    caller: Caller,
    args: SharedArgs,
    work: Option<Work>,
}

impl Core {
    /// The pieces of a command, if its values are so big that it should be carried out in them.
    #[inline]
    pub(crate) fn pieces_of(&mut self, command: CommandId, db: DbIndex, args: Args<'_>) -> Option<Pieces> {
        Pieces::of(&mut self.exec.shard.keyspace(db, true), command, args)
    }

    /// Whether it may have to be: most need not be looked at for it.
    #[inline]
    pub(crate) fn may_be_in_pieces(&mut self, row: &Command, db: DbIndex) -> bool {
        row.long.is_some() || self.exec.shard.keyspace(db, true).has_fading()
    }

    /// Carries it out so. Whether `maxmemory` and the log let it is asked here.
    pub(crate) fn run_in_pieces(&mut self, io: &mut Io, asker: Asker, caller: Caller, pieces: Pieces, args: Args<'_>) {
        let row = registry().row(caller.head.command);
        if let Err(error) = self.exec.admits(row.flags, args) {
            self.exec.stats.commands[caller.head.command.index()].rejected += 1;
            self.exec.stats.error(error.code());
            return self.answer(io, asker, caller.reply(|out| error.write(out)));
        }
        let mut wants = Vec::new();
        self.add_intents(&mut wants, caller.head.command, args);
        if let Some(conn) = remote(asker) {
            self.tx.in_pieces.push(conn);
        }
        let args = Arc::new(Kept::new(args.iter()));
        let script = InPieces { asker, caller, args, work: Some(pieces.work()) };
        self.begin_transaction(io, wants, Box::new(script));
        self.exec.finish(caller.head.command);
    }

    /// As `run_in_pieces`, of a request in a batch of another core.
    pub(crate) fn run_request_in_pieces(
        &mut self,
        io: &mut Io,
        from: CoreId,
        batch: &Batch,
        index: usize,
        pieces: Pieces,
    ) {
        let head = batch.requests[index].head();
        let asker = Asker::Remote { from, origin: head.origin };
        let caller = Caller { proto: head.proto, head };
        self.run_in_pieces(io, asker, caller, pieces, batch.args(index));
    }

    /// Whether a connection of another core has a command under way here in pieces.
    pub(crate) fn is_in_pieces(&self, core: CoreId, conn: ConnId) -> bool {
        self.tx.in_pieces.contains(&(core, conn))
    }

    /// The last piece is done: what its connection has sent behind it may run.
    fn pieces_done(&mut self, asker: Asker) {
        if let Some(conn) = remote(asker)
            && let Some(at) = self.tx.in_pieces.iter().position(|one| *one == conn)
        {
            self.tx.in_pieces.swap_remove(at);
        }
    }

    fn answer(&mut self, io: &mut Io, asker: Asker, reply: Output) {
        match asker {
            Asker::Own(ticket) => self.fulfil_output(io, ticket, reply),
            Asker::Remote { from, origin } => {
                // On another core nothing is known of transactions of this one.
                let (until, now) = (self.until_of_log(), self.exec.clock(io.now_ms()));
                io.mail(from, Mail::Late(Box::new(Late { origin, until, now, reply })));
            }
        }
    }
}

fn remote(asker: Asker) -> Option<(CoreId, ConnId)> {
    match asker {
        Asker::Own(_) => None,
        Asker::Remote { from, origin } => origin.conn().map(|conn| (from, conn)),
    }
}

/// The work as a slice of a transaction: a piece each time.
fn part(asker: Asker, caller: Caller, args: SharedArgs, mut work: Work) -> Part {
    let mut reply = Output::default();
    Part::Work(Box::new(move |core, _| {
        let db = caller.head.db;
        let mut cx = Cx {
            ks: core.exec.shard.keyspace(db, caller.head.no_touch),
            out: Writer { out: &mut reply, proto: caller.proto },
        };
        let result = match work(&mut cx, args.args()) {
            Ok(None) => {
                seal(&mut reply);
                return None;
            }
            Ok(Some(effect)) => {
                if effect != Effect::None {
                    let (command, args) = (caller.head.command, args.args());
                    core.exec.changed(&Change { command, db, args, effect, counts: true, key: 0 });
                }
                Ok(std::mem::take(&mut reply))
            }
            Err(error) => Err(error),
        };
        core.pieces_done(asker);
        Some(Box::new(result))
    }))
}

impl Script for InPieces {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        if let Some(work) = self.work.take() {
            let part = part(self.asker, self.caller, self.args.clone(), work);
            return Step::Run { parts: vec![(core.id.0, part)], last: true };
        }
        let outcome = outcomes.into_iter().next().map(|(_, outcome)| outcome);
        let result = outcome.map_or_else(|| Ok(Output::default()), |o| o.worked::<Result<Output, CommandError>>());
        let reply = result.unwrap_or_else(|error| {
            core.exec.stats.failed(Some(self.caller.head.command), error.code());
            self.caller.reply(|out| error.write(out))
        });
        core.answer(io, self.asker, reply);
        Step::Done
    }
}
