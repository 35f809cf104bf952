//! EXEC: where it runs, and the script of one that takes several shards or the server's help.

use pinyon_engine::command::registry::registry;
use pinyon_engine::command::row::Handler;
use pinyon_engine::transaction::{Access, Intents};
use pinyon_resp::{Args, Output, Span, Writer};
use pinyon_runtime::ConnId;

use super::planted::{self, Bug};
use super::queued::{How, Multi, Queued};
use super::split::{Caller, intents_on};
use super::{Capture, Go, Outcome, Outcomes, Part, Procedure, Script, Step, Watched, once, whole};
use crate::commands::{self, Call};
use crate::core::{Core, Io};
use crate::gather::Ticket;
use crate::hop::{Batch, Origin};
use crate::session::SessionFlags;

/// An EXEC under way over several shards.
struct Executing {
    ticket: Ticket,
    caller: Caller,
    multi: Box<Multi>,
    shards: Vec<u16>,
    watched: Option<Watched>,
    stage: Stage,
    /// The command to go on with.
    next: usize,
    replies: Vec<Output>,
    /// What the client is not to see, because it said CLIENT REPLY OFF on the way.
    hidden: Vec<bool>,
    /// The command under way that takes steps of its own.
    procedure: Option<Box<dyn Procedure>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The watched keys are to be asked about.
    Watched,
    Asked,
    Running,
    /// The server carries a command out and will say when it has.
    Waiting,
}

impl Core {
    /// Carries out what a connection has queued. What it watches is over with it.
    pub(crate) fn exec_queued(&mut self, io: &mut Io, conn: ConnId, word: &[u8]) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        session.flags.remove(SessionFlags::MULTI);
        let Some(mut multi) = session.multi.take() else { return };
        session.executing = Some(multi.commands.len());
        let db = session.db;
        let watched = session.stop_watching(self.id.0);
        let mut owner = multi.owner;
        let mut alone = !multi.wide;
        for &shard in watched.iter().flat_map(|watched| &watched.shards) {
            alone &= *owner.get_or_insert(shard) == shard;
        }
        let owner = owner.unwrap_or(self.id.0);
        let blocked =
            || self.is_queue_blocked(&multi, db) || watched.as_ref().is_some_and(|w| self.are_blocked(&w.keys));
        if alone && owner == self.id.0 && !blocked() {
            self.exec_here(io, conn, multi, watched.map(|watched| watched.id));
            if let Some(session) = self.sessions.get_mut(conn) {
                session.executing = None;
            }
            return self.release_messages(io, conn);
        }
        multi.word.clear();
        multi.word.extend_from_slice(word);
        let Some(caller) = self.sessions.get(conn).map(|session| session.caller(self.exec_id())) else { return };
        let ticket = self.promise(conn);
        if alone {
            return self.exec_there(io, owner, ticket, caller, multi, watched);
        }
        let wants = self.wants_of(conn, &multi, watched.as_ref());
        let count = multi.commands.len();
        let script = Executing {
            ticket,
            caller,
            multi,
            shards: self.shards_meant(conn),
            stage: if watched.is_some() { Stage::Watched } else { Stage::Running },
            watched,
            next: 0,
            replies: (0..count).map(|_| Output::default()).collect(),
            hidden: vec![false; count],
            procedure: None,
        };
        self.begin_transaction(io, wants, Box::new(script));
    }

    /// An EXEC that took its time has come to its end: monitors see it after its commands.
    pub(super) fn executed(&mut self, io: &mut Io, conn: ConnId, multi: &Multi) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.executing = None;
            let spans = [Span { start: 0, len: multi.word.len() as u32 }];
            let id = self.exec_id();
            self.show_to_monitors(io, conn, id, registry().row(id), Args { bytes: &multi.word, spans: &spans });
        }
    }

    fn exec_id(&self) -> pinyon_engine::command::CommandId {
        registry().find(b"exec").expect("the command exists")
    }

    /// All that an EXEC touches, by shard.
    fn wants_of(&self, conn: ConnId, multi: &Multi, watched: Option<&Watched>) -> Vec<(u16, Intents)> {
        let mut wants = Vec::new();
        for queued in &multi.commands {
            if matches!(queued.how, How::Keyed(Some(_)) | How::Spread) {
                self.add_intents(&mut wants, queued.id, multi.args(queued));
            }
        }
        // A transaction that comes before this one may have yet to change a watched key.
        let held = watched.filter(|_| !planted::has(Bug::LeavesWatched));
        for &(shard, hash) in held.iter().flat_map(|watched| &watched.keys) {
            intents_on(&mut wants, shard).add(hash, Access::Read);
        }
        if let Some(access) = multi.whole {
            for shard in self.shards_meant(conn) {
                intents_on(&mut wants, shard);
            }
            let most = |intents: &Intents| intents.keys().iter().any(|intent| intent.access == Access::Write);
            let access = if wants.iter().any(|(_, intents)| most(intents)) { Access::Write } else { access };
            wants.iter_mut().for_each(|(_, intents)| intents.widen(access));
        }
        wants
    }

    /// Runs a command of the server's own within an EXEC and gives its reply. None: it replies later, to the transaction
    /// kept under `slot`.
    pub(super) fn run_captured(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        slot: u32,
        multi: &Multi,
        queued: &Queued,
    ) -> Option<Output> {
        let Handler::Server(server) = registry().row(queued.id).handler else { return Some(Output::default()) };
        if self.sessions.get(conn).is_none() {
            return Some(Output::default());
        }
        let call = Call { conn, id: queued.id, args: multi.args(queued) };
        self.tx.capture = Some(Capture { conn, output: Output::default(), promised: false, slot });
        if let Err(error) = commands::run(self, io, server, &call) {
            self.fail_call(io, conn, queued.id, &error);
        }
        let ns = self.exec.finish(queued.id);
        if ns >= self.exec.watch_ns {
            self.was_slow(io, conn, queued.id, call.args, ns);
        }
        let capture = self.tx.capture.take().expect("only this takes it");
        (!capture.promised).then_some(capture.output)
    }
}

impl Script for Executing {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        match self.stage {
            Stage::Watched => {
                self.stage = Stage::Asked;
                return Step::Run { parts: self.ask_watched(), last: false };
            }
            Stage::Asked => {
                if outcomes.into_iter().any(|(_, changed)| changed.worked()) {
                    core.executed(io, self.ticket.conn, &self.multi);
                    core.fulfil(io, self.ticket, |out| out.null_array());
                    return Step::Done;
                }
                self.stage = Stage::Running;
            }
            Stage::Running => {
                if let Some(step) = self.take_outcomes(core, io, outcomes) {
                    return step;
                }
            }
            Stage::Waiting => {
                if let Some((_, Outcome::Replied(reply))) = outcomes.into_iter().next() {
                    self.replies[self.next - 1] = reply;
                }
                self.stage = Stage::Running;
            }
        }
        self.go_on(core, io)
    }
}

impl Executing {
    fn ask_watched(&self) -> Vec<(u16, Part)> {
        let Some(Watched { id: watcher, shards, .. }) = &self.watched else { return Vec::new() };
        let watcher = *watcher;
        let ask = |&shard: &u16| {
            let part = once(move |core, _| {
                let changed = core.has_changed(watcher);
                core.exec.shard.watches().unwatch(watcher.client);
                changed
            });
            (shard, part)
        };
        shards.iter().map(ask).collect()
    }

    /// Takes in what the last step brought. A command with steps of its own may have a further one.
    fn take_outcomes(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Option<Step> {
        if let Some(mut procedure) = self.procedure.take() {
            return match procedure.next(core, io, outcomes) {
                Go::Reply(reply) => {
                    self.replies[self.next - 1] = reply;
                    None
                }
                Go::Run { parts, last } => {
                    self.procedure = Some(procedure);
                    Some(Step::Run { parts, last: last && self.is_last() })
                }
            };
        }
        for (_, outcome) in outcomes {
            if let Outcome::Batch(mut batch) = outcome {
                batch.each_reply(|origin, output| {
                    if let Origin::Whole { item } = origin {
                        self.replies[item as usize] = output;
                    }
                });
                core.keep_batch(batch);
            }
        }
        None
    }

    fn is_last(&self) -> bool {
        self.next == self.multi.commands.len()
    }

    /// Goes through the commands up to one whose outcome must be waited for.
    fn go_on(&mut self, core: &mut Core, io: &mut Io) -> Step {
        core.exec.start(io.now_ms());
        let mut parts: Vec<(u16, Box<Batch>)> = Vec::new();
        while let Some(queued) = self.multi.commands.get(self.next).copied() {
            let waits = !matches!(queued.how, How::Keyed(_) | How::Free);
            if waits && !parts.is_empty() {
                break;
            }
            self.begin_command(core, io, &queued);
            let number = self.next;
            self.next += 1;
            match queued.how {
                How::Keyed(owner) => {
                    let owner = owner.unwrap_or(core.id.0);
                    let at = parts.iter().position(|(shard, _)| *shard == owner).unwrap_or_else(|| {
                        parts.push((owner, core.spare_batch()));
                        parts.len() - 1
                    });
                    let head = self.caller.whole(number, &queued, self.caller.head.db);
                    parts[at].1.push(head, self.multi.args(&queued).iter());
                }
                How::Free | How::Server => {
                    if let Some(step) = self.serve(core, io, number, &queued) {
                        return step;
                    }
                }
                How::Spread | How::Whole => {
                    if let Some(step) = self.begin_procedure(core, io, number, &queued) {
                        return step;
                    }
                }
            }
        }
        if !parts.is_empty() {
            let parts = parts.into_iter().map(|(shard, batch)| (shard, Part::Batch(batch))).collect();
            return Step::Run { parts, last: self.is_last() };
        }
        self.answer(core, io);
        Step::Done
    }

    /// What the commands before have changed of the session counts for the next ones.
    fn begin_command(&mut self, core: &mut Core, io: &mut Io, queued: &Queued) {
        if let Some(session) = core.sessions.get(self.ticket.conn) {
            let caller = session.caller(queued.id);
            self.hidden[self.next] = session.is_silent() && !self.ticket.silent;
            self.caller = Caller { head: crate::hop::RequestHead { db: self.caller.head.db, ..caller.head }, ..caller };
        }
        self.caller.head.command = queued.id;
        core.show_queued(io, self.ticket.conn, &self.multi, queued);
        self.caller.head.db = self.multi.selects(queued, core.settings.databases).unwrap_or(self.caller.head.db);
    }

    /// A command of the server's own. Some: its reply must be waited for.
    fn serve(&mut self, core: &mut Core, io: &mut Io, number: usize, queued: &Queued) -> Option<Step> {
        match core.run_captured(io, self.ticket.conn, self.slot(core), &self.multi, queued) {
            Some(reply) => {
                self.replies[number] = reply;
                None
            }
            None => {
                self.stage = Stage::Waiting;
                Some(Step::Wait)
            }
        }
    }

    fn slot(&self, core: &Core) -> u32 {
        core.tx.stepping
    }

    /// A command with steps of its own: over several shards, or over all keys.
    fn begin_procedure(&mut self, core: &mut Core, io: &mut Io, number: usize, queued: &Queued) -> Option<Step> {
        let args = self.multi.args(queued);
        let made: Result<Box<dyn Procedure>, _> = match registry().row(queued.id).handler {
            Handler::Spread(spread, _) => core.procedure(io.now_ms(), self.caller, spread, args),
            Handler::Server(server) => match whole::asked(core, server, self.caller.head.db, args) {
                Some(Ok(asked)) => Ok(Box::new(core.whole(self.caller, self.shards.clone(), asked, args))),
                Some(Err(error)) => Err(error),
                None => unreachable!("queued as one over all keys"),
            },
            _ => unreachable!("queued as one over several shards"),
        };
        let ns = core.exec.finish(queued.id);
        if ns >= core.exec.watch_ns {
            core.was_slow(io, self.ticket.conn, queued.id, args, ns);
        }
        let go = match made {
            Err(error) => self.caller.error(core, &error),
            Ok(mut procedure) => {
                let go = procedure.next(core, io, Vec::new());
                self.procedure = Some(procedure);
                go
            }
        };
        match go {
            Go::Run { parts, last } => Some(Step::Run { parts, last: last && self.is_last() }),
            Go::Reply(reply) => {
                self.procedure = None;
                self.replies[number] = reply;
                None
            }
        }
    }

    fn answer(&mut self, core: &mut Core, io: &mut Io) {
        let mut reply = Output::default();
        // The number of replies alone is the same in both protocols.
        Writer { out: &mut reply, proto: self.caller.proto }.array(self.replies.len());
        for (output, hidden) in self.replies.iter_mut().zip(&self.hidden) {
            if !hidden {
                reply.append(output);
            }
        }
        core.executed(io, self.ticket.conn, &self.multi);
        core.fulfil_output(io, self.ticket, reply);
        core.keep_queue(std::mem::take(&mut self.multi));
    }
}
