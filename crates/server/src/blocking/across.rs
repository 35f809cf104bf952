//! Commands that try their keys where these lie on several shards, and elements that go from a list on one shard to one on
//! another: procedures of transactions (`crate::tx`).
//!
//! All keys are held, so what is found in one step is still there in the next. Where there is nothing and the client waits,
//! the last step puts it into the queues of all its keys, in the same transaction: no push can come between.

use std::sync::Arc;

use pinyon_engine::command::blocking::{Answers, Blocking, Note, Patience, frame};
use pinyon_engine::command::list::transfer::{Ends, give, is_list, take, taken as tell_taken};
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::{CommandError, Effect};
use pinyon_resp::{Args, Output, Writer};
use pinyon_runtime::ConnId;

use super::WaitId;
use crate::core::{Core, Io};
use crate::exec::Change;
use crate::hop::RequestHead;
use crate::kept::Kept;
use crate::log::Until;
use crate::tx::{Caller, Go, Outcomes, Part, Procedure, Script, Step, once};

type SharedArgs = Arc<Kept>;

/// The positions of keys, by the shard that owns them.
type Places = Vec<(u16, Vec<usize>)>;

/// A command that tries its keys one by one.
pub(crate) struct Trying {
    caller: Caller,
    args: SharedArgs,
    blocking: &'static Blocking,
    places: Places,
    /// It waits if there is nothing.
    wait: Option<WaitId>,
    notes: Vec<(usize, Note)>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has been done yet.
    New,
    /// Which keys are there, or what is to be remembered of each, is asked.
    Looked,
    Served,
    Waits,
}

/// An element goes from one list to another.
pub(crate) struct Moving {
    caller: Caller,
    args: SharedArgs,
    source: u16,
    target: u16,
    wait: Option<WaitId>,
    stage: Moved,
}

/// How far it has come.
enum Moved {
    New,
    Looked,
    Taken,
    Given(Vec<u8>),
    Waits,
}

/// What LMOVE or RPOPLPUSH does over two shards.
pub(crate) fn moving(core: &Core, caller: Caller, args: Args<'_>) -> Result<Moving, CommandError> {
    Ends::of(args)?;
    Ok(Moving::new(core, caller, Arc::new(Kept::new(args.iter())), None))
}

/// The same for one who has waited for the element.
pub(super) fn moving_for(core: &Core, head: RequestHead, args: SharedArgs) -> Moving {
    Moving::new(core, Caller { head, proto: head.proto }, args, None)
}

/// What a command does that tries its keys, which lie on several shards.
pub(crate) fn trying(
    core: &Core,
    caller: Caller,
    args: Args<'_>,
    wait: Option<WaitId>,
) -> Result<Box<dyn Procedure>, CommandError> {
    let blocking = registry().row(caller.head.command).blocking.expect("its row says how");
    (blocking.patience)(args)?;
    let args = Arc::new(Kept::new(args.iter()));
    if blocking.target.is_some() {
        return Ok(Box::new(Moving::new(core, caller, args, wait)));
    }
    let places = places(core, blocking, args.args());
    Ok(Box::new(Trying { caller, args, blocking, places, wait, notes: Vec::new(), stage: Stage::New }))
}

fn places(core: &Core, blocking: &Blocking, args: Args<'_>) -> Places {
    let mut places = Places::new();
    for at in (blocking.keys)(args) {
        let owner = core.owner(args.get(at));
        match places.iter_mut().find(|(shard, _)| *shard == owner) {
            Some((_, positions)) => positions.push(at),
            None => places.push((owner, vec![at])),
        }
    }
    places
}

impl Core {
    /// Runs a command that may wait and has keys on several shards.
    pub(super) fn try_over_shards(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        patience: Patience,
        args: Args<'_>,
    ) {
        let Some(blocking) = registry().row(id).blocking else { return };
        let Some(caller) = self.sessions.get(conn).map(|session| session.caller(id)) else { return };
        let shards = places(self, blocking, args).into_iter().map(|(shard, _)| shard).collect();
        let mut wants = Vec::new();
        self.add_intents(&mut wants, id, args);
        if patience == Patience::None {
            return match trying(self, caller, args, None) {
                Ok(procedure) => self.run_procedure(io, conn, wants, procedure),
                Err(error) => self.reply_error(io, conn, &error),
            };
        }
        let Some(number) = self.open_wait(io, conn, patience, shards) else { return };
        let wait = WaitId { core: self.id.0, number };
        match trying(self, caller, args, Some(wait)) {
            Ok(procedure) => self.begin_transaction(io, wants, Box::new(Asking { number, procedure })),
            Err(error) => {
                let reply = caller.reply(|out| error.write(out));
                self.served(io, number, reply, Until::Now);
            }
        }
    }
}

/// A command of its own that may wait.
struct Asking {
    number: u64,
    procedure: Box<dyn Procedure>,
}

impl Script for Asking {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        match self.procedure.next(core, io, outcomes) {
            Go::Run { parts, last } => Step::Run { parts, last },
            Go::Reply(reply) => {
                core.answer_unless_waiting(io, self.number, reply);
                Step::Done
            }
        }
    }
}

impl Procedure for Trying {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Go {
        match (self.stage, self.blocking.answers) {
            (Stage::New, Answers::First) => self.look(),
            (Stage::New, Answers::Each) => self.check(),
            (Stage::Looked, Answers::First) => self.serve_first(outcomes),
            (Stage::Looked, Answers::Each) => self.serve_each(core, outcomes),
            (Stage::Served, _) => self.answer(core, outcomes),
            (Stage::Waits, _) => {
                if let Some(wait) = self.wait {
                    core.now_waits(io, wait.number);
                }
                Go::Reply(Output::default())
            }
        }
    }
}

/// What serving keys of a shard gave, by their positions.
type Tried = Vec<(usize, Result<Option<Output>, CommandError>)>;

impl Trying {
    fn parts<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Core, &RequestHead, Args<'_>, &[usize]) -> T + Clone + Send + 'static,
    ) -> Vec<(u16, Part)> {
        let part = |(shard, positions): &(u16, Vec<usize>)| {
            let (args, positions, head, work) = (self.args.clone(), positions.clone(), self.caller.head, work.clone());
            (*shard, once(move |core, _| work(core, &head, args.args(), &positions)))
        };
        self.places.iter().map(part).collect()
    }

    fn look(&mut self) -> Go {
        self.stage = Stage::Looked;
        let parts = self.parts(|core, head, args, positions| {
            let mut ks = core.exec.shard.keyspace(head.db, true);
            let is_there = |&at: &usize| pinyon_engine::command::blocking::type_at(&mut ks, args, at).is_some();
            positions.iter().copied().find(is_there)
        });
        Go::Run { parts, last: false }
    }

    /// The first key that is there decides.
    fn serve_first(&mut self, outcomes: Outcomes) -> Go {
        let found = outcomes.into_iter().filter_map(|(shard, at)| Some((at.worked::<Option<usize>>()?, shard))).min();
        let Some((at, shard)) = found else { return self.come_to_nothing() };
        self.stage = Stage::Served;
        let (args, head) = (self.args.clone(), self.caller.head);
        let part =
            once(move |core, _| -> Tried { vec![(at, core.exec.try_key(&head, args.args(), at, Note::default()))] });
        Go::Run { parts: vec![(shard, part)], last: true }
    }

    fn check(&mut self) -> Go {
        self.stage = Stage::Looked;
        let check = self.blocking.check;
        let parts = self.parts(move |core, head, args, positions| {
            let mut ks = core.exec.shard.keyspace(head.db, true);
            positions.iter().map(|&at| (at, check(&mut ks, args, at))).collect::<Vec<_>>()
        });
        Go::Run { parts, last: false }
    }

    fn serve_each(&mut self, core: &mut Core, outcomes: Outcomes) -> Go {
        let mut checked: Vec<(usize, Result<Note, CommandError>)> =
            outcomes.into_iter().flat_map(|(_, checked)| checked.worked::<Vec<_>>()).collect();
        checked.sort_by_key(|(at, _)| *at);
        for (at, note) in checked {
            match note {
                Ok(note) => self.notes.push((at, note)),
                Err(error) => return self.caller.error(core, &error),
            }
        }
        self.stage = Stage::Served;
        let notes = self.notes.clone();
        let parts = self.parts(move |core, head, args, positions| -> Tried {
            let note_of = |at: usize| notes.iter().find(|(other, _)| *other == at).map_or(Note::default(), |it| it.1);
            positions.iter().map(|&at| (at, core.exec.try_key(head, args, at, note_of(at)))).collect()
        });
        Go::Run { parts, last: self.wait.is_none() }
    }

    fn answer(&mut self, core: &mut Core, outcomes: Outcomes) -> Go {
        let mut tried: Tried = outcomes.into_iter().flat_map(|(_, tried)| tried.worked::<Tried>()).collect();
        tried.sort_by_key(|(at, _)| *at);
        let mut replies = Vec::new();
        for (_, result) in tried {
            match result {
                Ok(reply) => replies.extend(reply),
                Err(error) => return self.caller.error(core, &error),
            }
        }
        if replies.is_empty() {
            return self.come_to_nothing();
        }
        let mut all = Output::default();
        if self.blocking.answers == Answers::Each {
            frame(&mut Writer { out: &mut all, proto: self.caller.proto }, replies.len());
        }
        replies.iter_mut().for_each(|reply| all.append(reply));
        Go::Reply(all)
    }

    /// No key has anything: the client waits, if it does.
    fn come_to_nothing(&mut self) -> Go {
        let Some(wait) = self.wait else { return Go::Reply(self.caller.reply(self.blocking.nothing)) };
        self.stage = Stage::Waits;
        let (notes, args, alone) = (self.notes.clone(), self.args.clone(), self.places.len() == 1);
        let parts = self.parts(move |core, head, _, positions| {
            let note_of = |at: usize| notes.iter().find(|(other, _)| *other == at).map_or(Note::default(), |it| it.1);
            let keys: Vec<(usize, Note)> = positions.iter().map(|&at| (at, note_of(at))).collect();
            core.exec.wait(wait, head, args.clone(), &keys, alone);
        });
        Go::Run { parts, last: true }
    }
}

impl Moving {
    fn new(core: &Core, caller: Caller, args: SharedArgs, wait: Option<WaitId>) -> Moving {
        let (source, target) = (core.owner(args.args().get(1)), core.owner(args.args().get(2)));
        Moving { caller, args, source, target, wait, stage: Moved::New }
    }

    fn ends(&self) -> Ends {
        Ends::of(self.args.args()).expect("they were read before")
    }

    fn look(&mut self) -> Go {
        self.stage = Moved::Looked;
        let db = self.caller.head.db;
        let at = |position: usize| {
            let args = self.args.clone();
            once(move |core, _| {
                let mut ks = core.exec.shard.keyspace(db, false);
                let key = ks.key_of(args.args().get(position));
                is_list(&mut ks, key)
            })
        };
        Go::Run { parts: vec![(self.source, at(1)), (self.target, at(2))], last: false }
    }

    fn take(&mut self, core: &mut Core, outcomes: Outcomes) -> Go {
        let (mut source, mut target) = (Ok(false), Ok(false));
        for (shard, found) in outcomes {
            let found = found.worked::<Result<bool, CommandError>>();
            if shard == self.source { source = found } else { target = found }
        }
        match (source, target) {
            (Err(error), _) | (Ok(true), Err(error)) => self.caller.error(core, &error),
            (Ok(false), _) => self.come_to_nothing(),
            (Ok(true), Ok(_)) => {
                self.stage = Moved::Taken;
                let (args, db, end) = (self.args.clone(), self.caller.head.db, self.ends().from);
                let command = self.caller.head.command;
                let part = once(move |core, _| {
                    let args = args.args();
                    let mut ks = core.exec.shard.keyspace(db, false);
                    let key = ks.key_of(args.get(1));
                    let taken = take(&mut ks, key, end).ok().flatten();
                    tell_taken(&mut ks, key, end);
                    ks.record(&[end.pop_command(), key.bytes]);
                    // The other shard counts the change: it is one.
                    let effect = Effect::Recorded { changes: 1 };
                    core.exec.changed(&Change { command, db, args, effect, counts: false, key: 0 });
                    taken
                });
                Go::Run { parts: vec![(self.source, part)], last: false }
            }
        }
    }

    fn give(&mut self, outcomes: Outcomes) -> Go {
        let taken = outcomes.into_iter().next().and_then(|(_, taken)| taken.worked::<Option<Vec<u8>>>());
        let element = taken.expect("it was there, and nobody else may touch it");
        let (args, db, end, given) = (self.args.clone(), self.caller.head.db, self.ends().to, element.clone());
        self.stage = Moved::Given(element);
        let command = self.caller.head.command;
        let part = once(move |core, _| {
            let args = args.args();
            let mut ks = core.exec.shard.keyspace(db, false);
            let key = ks.key_of(args.get(2));
            give(&mut ks, key, end, &given).expect("it holds a list or nothing, and nobody else may touch it");
            ks.record(&[end.push_command(), key.bytes, &given]);
            let effect = Effect::Recorded { changes: 1 };
            core.exec.changed(&Change { command, db, args, effect, counts: true, key: 0 });
        });
        Go::Run { parts: vec![(self.target, part)], last: true }
    }

    fn come_to_nothing(&mut self) -> Go {
        let Some(wait) = self.wait else { return Go::Reply(self.caller.reply(|out| out.null())) };
        self.stage = Moved::Waits;
        let (args, head) = (self.args.clone(), self.caller.head);
        let part = once(move |core, _| core.exec.wait(wait, &head, args, &[(1, Note::default())], true));
        Go::Run { parts: vec![(self.source, part)], last: true }
    }
}

impl Procedure for Moving {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Go {
        match &self.stage {
            Moved::New => self.look(),
            Moved::Looked => self.take(core, outcomes),
            Moved::Taken => self.give(outcomes),
            Moved::Given(element) => Go::Reply(self.caller.reply(|out| out.bulk(element))),
            Moved::Waits => {
                if let Some(wait) = self.wait {
                    core.now_waits(io, wait.number);
                }
                Go::Reply(Output::default())
            }
        }
    }
}
