//! The shard's side: who waits here with which command, and serving them when a key has changed.
//!
//! Serving is a part of running commands (`Exec`): it follows right after the command or EXEC that changed the key, at the same
//! moment of the keyspace. What is to be told goes out by the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinyon_base::{DbIndex, shard_of, slot_of};
use pinyon_durability::Lsn;
use pinyon_engine::command::blocking::{self, Blocking, Note, Occasion, Served, Try, Wants};
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::Handler;
use pinyon_engine::transaction::{Access, Intents};
use pinyon_engine::{CommandError, Cx, Effect};
use pinyon_resp::{Args, Output, Proto, Writer};
use pinyon_runtime::CoreId;

use super::across::moving_for;
use super::{Ask, Body, WaitId};
use crate::core::{Core, Io};
use crate::dispatch::first_key;
use crate::exec::{Change, Exec, Run};
use crate::hop::{Origin, RequestHead};
use crate::kept::Kept;
use crate::settings::Gates;
use crate::shared::Shared;
use crate::tx::{Go, Outcome, Outcomes, Procedure, Script, Step};

/// Those who wait at one shard, by numbers that grow as they come.
#[derive(Default)]
pub struct Waiters {
    all: BTreeMap<u64, Waiter>,
    by_id: BTreeMap<WaitId, u64>,
    last: u64,
    outbox: Vec<Outgoing>,
    /// Somebody is to be served who needs more than this shard.
    pub(crate) is_urgent: bool,
    /// Commands of an EXEC are running: nobody is served between them.
    pub(crate) together: bool,
}

struct Waiter {
    id: WaitId,
    command: CommandId,
    db: DbIndex,
    proto: Proto,
    no_touch: bool,
    args: Arc<Kept>,
    keys: Vec<WaitKey>,
    /// It waits nowhere else.
    alone: bool,
    stage: Stage,
}

#[derive(Clone, Copy)]
struct WaitKey {
    at: usize,
    hash: u64,
    note: Note,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// A transaction has been or will be begun to serve it.
    Starting,
    /// It is being served over two shards: its reply is certain.
    Serving,
}

enum Outgoing {
    Served(WaitId, Output),
    /// This waiter's key, as to be served by a transaction.
    Start(u64, WaitKey),
}

impl Waiter {
    fn head(&self) -> RequestHead {
        RequestHead {
            origin: Origin::Whole { item: 0 },
            command: self.command,
            db: self.db,
            proto: self.proto,
            no_touch: self.no_touch,
            hash: 0,
            client: 0,
        }
    }

    fn blocking(&self) -> &'static Blocking {
        registry().row(self.command).blocking.expect("only such commands wait")
    }
}

impl Exec {
    /// Tries all keys of a command, which are on this shard. Gives its execution time in ns, and whether there was something;
    /// if so, or if it is an error, the reply is written.
    pub(crate) fn attempt(&mut self, run: Run, blocking: &Blocking, args: Args<'_>, out: &mut Output) -> (u64, bool) {
        if let Err(error) = self.admits(run.flags, args) {
            self.refuse(run, &error, out);
            return (0, true);
        }
        let before = if self.holds { self.last_lsn() } else { Lsn(0) };
        let mut cx = Cx { ks: self.shard.keyspace(run.db, run.no_touch), out: Writer { out, proto: run.proto } };
        let served = match blocking::attempt(&mut cx, args, blocking) {
            Ok(None) => false,
            Ok(Some(effect)) => {
                self.changed(&Change { command: run.command, db: run.db, args, effect, counts: true, key: 0 });
                true
            }
            Err(error) => {
                error.write(&mut cx.out);
                self.stats.failed(Some(run.command), error.code());
                true
            }
        };
        self.serve_waiters();
        if self.holds {
            self.hold(before, None);
        }
        (self.finish(run.command), served)
    }

    /// Tries one key of a command of which others are elsewhere. None: there was nothing.
    pub(super) fn try_key(
        &mut self,
        head: &RequestHead,
        args: Args<'_>,
        key: usize,
        note: Note,
    ) -> Result<Option<Output>, CommandError> {
        let Some(blocking) = registry().row(head.command).blocking else { return Ok(None) };
        let mut reply = Output::default();
        let mut cx =
            Cx { ks: self.shard.keyspace(head.db, head.no_touch), out: Writer { out: &mut reply, proto: head.proto } };
        match (blocking.serve)(&mut cx, args, Try { key, note, occasion: Occasion::Asked })? {
            Served::Nothing => Ok(None),
            Served::Done(effect) => {
                self.note(head.command, head.db, args, effect);
                Ok(Some(reply))
            }
        }
    }

    fn note(&mut self, command: CommandId, db: DbIndex, args: Args<'_>, effect: Effect) {
        if effect != Effect::None {
            self.changed(&Change { command, db, args, effect, counts: true, key: 0 });
        }
    }

    /// A command waits for all its keys, which are here.
    pub(super) fn wait_for_all(&mut self, id: WaitId, ask: Ask, blocking: &Blocking) {
        let args = Arc::new(ask.args);
        let mut ks = self.shard.keyspace(ask.head.db, true);
        // Nothing has happened since they were checked.
        let mut noted = |at| (at, (blocking.check)(&mut ks, args.args(), at).unwrap_or_default());
        let keys: Vec<(usize, Note)> = (blocking.keys)(args.args()).map(&mut noted).collect();
        self.wait(id, &ask.head, args, &keys, true);
    }

    /// A command waits for these keys. `alone`: and for no others elsewhere.
    pub(super) fn wait(
        &mut self,
        id: WaitId,
        head: &RequestHead,
        args: Arc<Kept>,
        keys: &[(usize, Note)],
        alone: bool,
    ) {
        self.waiters.last += 1;
        let number = self.waiters.last;
        let hashed = |&(at, note): &(usize, Note)| WaitKey { at, hash: self.shard.hash(args.args().get(at)), note };
        let keys: Vec<WaitKey> = keys.iter().map(hashed).collect();
        let RequestHead { command, db, proto, no_touch, .. } = *head;
        let waiter = Waiter { id, command, db, proto, no_touch, args, keys, alone, stage: Stage::Waiting };
        let wants = waiter.blocking().wants;
        for key in &waiter.keys {
            self.shard.waits().wait(db, key.hash, wants, number);
        }
        self.waiters.by_id.insert(id, number);
        self.waiters.all.insert(number, waiter);
    }

    /// It does not wait any more.
    fn leave(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiters.all.remove(&number)?;
        self.waiters.by_id.remove(&waiter.id);
        let wants = waiter.blocking().wants;
        for key in &waiter.keys {
            self.shard.waits().leave(waiter.db, key.hash, wants, number);
        }
        Some(waiter)
    }

    /// Serves those whose keys have changed, unless a transaction or an EXEC is in the middle of changing them.
    #[inline]
    pub(crate) fn serve_waiters(&mut self) {
        if self.shard.has_changed_for_waiters() && !self.waiters.together {
            self.serve_changed();
        }
    }

    #[cold]
    fn serve_changed(&mut self) {
        while let Some((db, hash)) = self.shard.take_changed_for_waiters() {
            for wants in Wants::ALL {
                let mut last = None;
                while let Some(number) = self.shard.waits().next_after(db, hash, wants, last) {
                    last = Some(number);
                    let went_on = self.look_at(number, hash);
                    // A stream is read by all, an element taken by one.
                    if !went_on && wants != Wants::Stream {
                        break;
                    }
                }
            }
        }
    }

    /// Serves a waiter if its key is ready. False: it is not, or it has to be served by a transaction.
    fn look_at(&mut self, number: u64, hash: u64) -> bool {
        let Some(waiter) = self.waiters.all.get_mut(&number) else { return true };
        if waiter.stage != Stage::Waiting {
            // It may be about to take what is here, or something else.
            return true;
        }
        let (db, args, blocking) = (waiter.db, waiter.args.clone(), waiter.blocking());
        let mut ks = self.shard.keyspace(db, true);
        let ready = |key: &WaitKey| key.hash == hash && (blocking.ready)(&mut ks, args.args(), key.at, key.note);
        let Some(key) = waiter.keys.iter().copied().find(ready) else { return false };
        let elsewhere = blocking.target.is_some_and(|at| !owns(&self.shared, self.core, args.args().get(at)));
        if !waiter.alone || elsewhere {
            waiter.stage = Stage::Starting;
            self.waiters.outbox.push(Outgoing::Start(number, key));
            self.waiters.is_urgent = true;
            return false;
        }
        self.serve(number, key)
    }

    /// Serves a waiter, which is ready. False: there was nothing after all.
    fn serve(&mut self, number: u64, key: WaitKey) -> bool {
        let Some(waiter) = self.waiters.all.get(&number) else { return true };
        let (db, proto, args, blocking) = (waiter.db, waiter.proto, waiter.args.clone(), waiter.blocking());
        let (id, command) = (waiter.id, waiter.command);
        let mut reply = Output::default();
        let mut cx = Cx { ks: self.shard.keyspace(db, waiter.no_touch), out: Writer { out: &mut reply, proto } };
        match blocking::serve_ready(&mut cx, args.args(), blocking, key.at, key.note) {
            Ok(None) => return false,
            Ok(Some(effect)) => self.note(command, db, args.args(), effect),
            Err(error) => {
                error.write(&mut cx.out);
                self.stats.failed(Some(command), error.code());
            }
        }
        self.leave(number);
        self.waiters.outbox.push(Outgoing::Served(id, reply));
        true
    }
}

fn owns(shared: &Shared, core: CoreId, key: &[u8]) -> bool {
    shared.shards == 1 || shard_of(slot_of(key), shared.shards).0 == core.0
}

impl Core {
    /// What follows a command that may have served somebody.
    #[inline]
    pub(crate) fn after_command(&mut self, io: &mut Io) {
        if self.exec.waiters.is_urgent {
            self.tell_served(io);
        }
    }

    /// Sends off what serving has left to be told.
    pub(crate) fn tell_served(&mut self, io: &mut Io) {
        self.exec.waiters.is_urgent = false;
        for outgoing in std::mem::take(&mut self.exec.waiters.outbox) {
            match outgoing {
                Outgoing::Served(id, reply) => {
                    let until = self.until_of_log();
                    self.tell_about(io, id.core, id, Body::Served(reply, until));
                }
                Outgoing::Start(number, key) => self.start_serving(io, number, key),
            }
        }
    }

    /// Between commands: serves whom what happened by itself concerns, and sends off what there is to be told.
    #[inline]
    pub(crate) fn serve_all(&mut self, io: &mut Io) {
        self.exec.serve_waiters();
        // Telling some may serve others.
        while !self.exec.waiters.outbox.is_empty() {
            self.tell_served(io);
            self.exec.serve_waiters();
        }
    }

    pub(super) fn take_ask(&mut self, io: &mut Io, id: WaitId, ask: Box<Ask>) {
        if self.gates.contains(Gates::INTENTS) && self.is_blocked(ask.head.command, ask.head.db, ask.args.args()) {
            return self.defer_ask(id, ask);
        }
        self.exec.start(io.now_ms());
        self.run_ask(io, id, *ask);
    }

    /// Runs a command that may wait, all of whose keys are here.
    pub(crate) fn run_ask(&mut self, io: &mut Io, id: WaitId, ask: Ask) {
        let entry = registry().entry(ask.head.command);
        let (Some(blocking), Handler::Spread(_, handler)) = (entry.row.blocking, entry.row.handler) else {
            unreachable!("only such commands are asked")
        };
        let run = Run {
            command: ask.head.command,
            flags: entry.row.flags,
            handler,
            db: ask.head.db,
            proto: ask.head.proto,
            no_touch: ask.head.no_touch,
            key_at: first_key(&entry.keys),
            hash: 0,
            counts: true,
        };
        let mut reply = Output::default();
        let (_, served) = self.exec.attempt(run, blocking, ask.args.args(), &mut reply);
        if served {
            let until = self.until_of_last();
            self.tell_about(io, id.core, id, Body::Served(reply, until));
        } else {
            self.exec.wait_for_all(id, ask, blocking);
            self.tell_about(io, id.core, id, Body::Waits);
        }
        self.after_command(io);
    }

    /// The client's core has it wait no longer.
    pub(super) fn cancel_here(&mut self, io: &mut Io, id: WaitId) {
        // A reply of this turn must not come after the word that there is none.
        self.tell_served(io);
        if let Some(&number) = self.exec.waiters.by_id.get(&id) {
            if self.exec.waiters.all.get(&number).is_some_and(|waiter| waiter.stage == Stage::Serving) {
                // Its reply is on the way.
                return;
            }
            self.exec.leave(number);
        }
        self.tell_about(io, id.core, id, Body::Cancelled);
    }

    /// Begins the transaction by which a waiter is served.
    fn start_serving(&mut self, io: &mut Io, number: u64, key: WaitKey) {
        let Some(waiter) = self.exec.waiters.all.get(&number) else { return };
        let mut intents = Intents::default();
        intents.add(key.hash, Access::Write);
        let mut wants = vec![(self.id.0, intents)];
        if waiter.alone
            && let Some(at) = waiter.blocking().target
        {
            let target = waiter.args.args().get(at);
            let mut intents = Intents::default();
            intents.add(self.exec.shard.hash(target), Access::Write);
            wants.push((self.owner(target), intents));
        }
        self.begin_transaction(io, wants, Box::new(Serving { number, db: waiter.db, key, at: 0, stage: Begun::No }));
    }

    /// The home has answered a claim.
    pub(super) fn claimed(&mut self, io: &mut Io, slot: u32, yes: bool) {
        self.resume_with(io, slot, Outcome::Worked(Box::new(yes)));
    }
}

/// A waiter is served within a transaction, which its shard coordinates.
struct Serving {
    number: u64,
    db: DbIndex,
    key: WaitKey,
    /// When it had the key, in Unix ms.
    at: i64,
    stage: Begun,
}

enum Begun {
    No,
    /// Its home is asked.
    Claiming,
    /// An element goes to another shard.
    Moving(Box<dyn Procedure>),
}

impl Script for Serving {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        match &mut self.stage {
            Begun::No => self.begin(core, io),
            Begun::Claiming => {
                let yes = outcomes.into_iter().next().is_some_and(|(_, yes)| yes.worked());
                self.claimed(core, yes)
            }
            Begun::Moving(procedure) => match procedure.next(core, io, outcomes) {
                Go::Run { parts, last } => Step::Run { parts, last },
                Go::Reply(reply) => self.moved(core, reply),
            },
        }
    }
}

impl Serving {
    /// It holds the key by now: is there still somebody, and something?
    fn begin(&mut self, core: &mut Core, io: &mut Io) -> Step {
        self.at = core.exec.clock(io.now_ms());
        core.exec.start_at(self.at);
        let Some(waiter) = core.exec.waiters.all.get_mut(&self.number) else { return self.end(core) };
        let (id, args, blocking) = (waiter.id, waiter.args.clone(), waiter.blocking());
        let mut ks = core.exec.shard.keyspace(self.db, true);
        if !(blocking.ready)(&mut ks, args.args(), self.key.at, self.key.note) {
            waiter.stage = Stage::Waiting;
            // Meanwhile it was passed over at its other keys.
            waiter.keys.iter().for_each(|key| core.exec.shard.waits().changed(self.db, key.hash));
            return Step::Done;
        }
        if waiter.alone {
            waiter.stage = Stage::Serving;
            let head = waiter.head();
            self.stage = Begun::Moving(Box::new(moving_for(core, head, args)));
            return self.next(core, io, Vec::new());
        }
        if id.core == core.id.0 {
            let yes = core.claim(io, id.number, core.id.0);
            return self.claimed(core, yes);
        }
        self.stage = Begun::Claiming;
        let (shard, slot) = (core.id.0, core.transaction_at_work());
        core.tell_about(io, id.core, id, Body::Claim { shard, slot });
        Step::Wait
    }

    /// The home has said whether it may have it.
    fn claimed(&mut self, core: &mut Core, yes: bool) -> Step {
        // At the moment at which it was there: it is held since, and has not expired for anybody.
        core.exec.start_at(self.at);
        let served = yes && core.exec.serve(self.number, self.key);
        debug_assert!(served || !yes, "what is held stays, and it was there");
        if let Some(waiter) = core.exec.leave(self.number).filter(|_| yes) {
            let mut reply = Output::default();
            (waiter.blocking().nothing)(&mut Writer { out: &mut reply, proto: waiter.proto });
            core.exec.waiters.outbox.push(Outgoing::Served(waiter.id, reply));
        }
        self.end(core)
    }

    fn moved(&mut self, core: &mut Core, reply: Output) -> Step {
        if let Some(waiter) = core.exec.leave(self.number) {
            core.exec.waiters.outbox.push(Outgoing::Served(waiter.id, reply));
        }
        self.end(core)
    }

    /// Those who come next are looked at when the key is free again.
    fn end(&self, core: &mut Core) -> Step {
        core.exec.shard.waits().changed(self.db, self.key.hash);
        Step::Done
    }
}
