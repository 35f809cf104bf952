//! Commands over all keys of all shards, or of those of one node: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB, KEYS, RANDOMKEY.
//!
//! Each holds every key at once, so that what it sees or does is one moment. While KEYS walks, reads go on and writes wait.

use std::any::Any;

use pinyon_base::DbIndex;
use pinyon_engine::command::key::walk::{Wanted, walk_step};
use pinyon_engine::command::registry::CommandId;
use pinyon_engine::command::row::ServerCommand;
use pinyon_engine::transaction::{Access, Intents};
use pinyon_engine::{CommandError, Effect};
use pinyon_resp::{Args, Writer};
use pinyon_runtime::ConnId;

use super::split::Caller;
use super::{Go, Outcomes, Part, Procedure, Script, Step};
use crate::core::{Core, Io};
use crate::exec::Change;
use crate::gather::Ticket;
use crate::kept::Kept;

/// Keys looked at in one slice of a long walk.
const WALK_SLICE: usize = 512;
/// Steps of freeing in one slice of FLUSHALL SYNC.
const FREE_SLICE: usize = 1024;

/// What such a command asks for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Size,
    /// One database, or all.
    Flush(Option<DbIndex>),
    Swap(DbIndex, DbIndex),
    Keys(Vec<u8>),
    Random,
}

/// Such a command under way.
pub(super) struct Whole {
    caller: Caller,
    shards: Vec<u16>,
    asked: Asked,
    args: Kept,
    begun: bool,
}

/// What happens to all keys when the server carries this command out inside an EXEC. None: nothing.
pub(super) fn access_of(command: ServerCommand) -> Option<Access> {
    match command {
        ServerCommand::Dbsize | ServerCommand::Keys | ServerCommand::Randomkey | ServerCommand::Scan => {
            Some(Access::Read)
        }
        ServerCommand::Flushall | ServerCommand::Flushdb | ServerCommand::Swapdb => Some(Access::Write),
        _ => None,
    }
}

/// What follows before the client is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Reply,
    /// What was detached is freed first.
    Free,
}

/// Such a command on its own.
struct AllKeys {
    ticket: Ticket,
    whole: Box<Whole>,
    shards: Vec<u16>,
    then: Then,
}

impl Script for AllKeys {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        let ticket = self.ticket;
        match self.whole.next(core, io, outcomes) {
            Go::Run { parts, last } => return Step::Run { parts, last },
            Go::Reply(reply) if self.then == Then::Free => {
                let share =
                    || move |core: &mut Core, _: &mut Io| (!core.exec.shard.background_slice(FREE_SLICE)).then_some(());
                core.gather_slices_on(io, &self.shards, share, move |core, io, _: Vec<()>| {
                    core.fulfil_output(io, ticket, reply);
                });
            }
            Go::Reply(reply) => core.fulfil_output(io, ticket, reply),
        }
        Step::Done
    }
}

impl Asked {
    fn access(&self) -> Access {
        match self {
            Asked::Size | Asked::Keys(_) | Asked::Random => Access::Read,
            Asked::Flush(_) | Asked::Swap(..) => Access::Write,
        }
    }
}

impl Core {
    /// The cores whose keys are meant: all of them, and on a core's own port that one.
    pub(crate) fn shards_meant(&self, conn: ConnId) -> Vec<u16> {
        if self.is_on_core_port(conn) { vec![self.id.0] } else { (0..self.shards).collect() }
    }

    /// Carries out a command over all keys.
    pub(crate) fn run_whole(&mut self, io: &mut Io, conn: ConnId, asked: Asked, args: Args<'_>) {
        self.run_whole_then(io, conn, asked, args, Then::Reply);
    }

    pub(crate) fn run_whole_then(&mut self, io: &mut Io, conn: ConnId, asked: Asked, args: Args<'_>, then: Then) {
        let shards = self.shards_meant(conn);
        let Some(session) = self.sessions.get(conn) else { return };
        let Some(command) = session.last_command else { return };
        let wants = shards.iter().map(|&shard| (shard, Intents::whole(asked.access()))).collect();
        let whole = Box::new(self.whole(session.caller(command), shards.clone(), asked, args));
        let ticket = self.promise(conn);
        self.begin_transaction(io, wants, Box::new(AllKeys { ticket, whole, shards, then }));
    }

    pub(super) fn whole(&self, caller: Caller, shards: Vec<u16>, asked: Asked, args: Args<'_>) -> Whole {
        Whole { caller, shards, asked, args: Kept::new(args.iter()), begun: false }
    }

    /// Detaches all keys of a database, or of all; freeing their memory goes on in slices.
    fn empty(&mut self, db: Option<DbIndex>) -> u64 {
        let shard = &mut self.exec.shard;
        let dbs = 0..self.settings.databases;
        let keys =
            dbs.map(DbIndex).filter(|&one| db.is_none_or(|db| db == one)).map(|db| shard.db_len(db)).sum::<usize>();
        match db {
            Some(db) => shard.flush_db(db, false),
            None => shard.flush_all(false),
        }
        keys as u64
    }
}

/// One shard's share: a slice of work.
fn share(asked: &Asked, command: CommandId, db: DbIndex, args: &Kept, first: bool) -> Part {
    let args = args.clone();
    match asked.clone() {
        Asked::Size => slice(move |core| Some(core.exec.shard.db_len(db))),
        Asked::Random => slice(move |core| Some((core.exec.shard.random_key(db), core.exec.shard.db_len(db)))),
        Asked::Flush(which) => slice(move |core| {
            let keys = core.empty(which);
            let effect = Effect::AsSent { changes: keys.min(u64::from(u32::MAX)) as u32 };
            core.exec.changed(&Change { command, db, args: args.args(), effect, counts: true, key: 0 });
            Some(())
        }),
        Asked::Swap(a, b) => slice(move |core| {
            core.exec.shard.swap_db(a, b);
            // One change, whatever the number of shards.
            let effect = Effect::AsSent { changes: 1 };
            core.exec.changed(&Change { command, db, args: args.args(), effect, counts: first, key: 0 });
            Some(())
        }),
        Asked::Keys(pattern) => {
            let (mut cursor, mut found) = (0, Vec::new());
            slice(move |core| {
                let wanted = Wanted::matching(&pattern);
                let shard = &mut core.exec.shard;
                cursor = walk_step(shard, db, cursor, WALK_SLICE, &wanted, &mut |key| found.push(key.to_vec()));
                (cursor == 0).then(|| std::mem::take(&mut found))
            })
        }
    }
}

fn slice<T: Send + 'static>(mut work: impl FnMut(&mut Core) -> Option<T> + Send + 'static) -> Part {
    Part::Work(Box::new(move |core, _| work(core).map(|result| Box::new(result) as Box<dyn Any + Send>)))
}

impl Procedure for Whole {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        let db = self.caller.head.db;
        if !std::mem::replace(&mut self.begun, true) {
            let part = |(number, &shard): (usize, &u16)| {
                (shard, share(&self.asked, self.caller.head.command, db, &self.args, number == 0))
            };
            return Go::Run { parts: self.shards.iter().enumerate().map(part).collect(), last: true };
        }
        Go::Reply(self.caller.reply(|out| self.answer(core, outcomes, out)))
    }
}

impl Whole {
    fn answer(&self, core: &mut Core, outcomes: Outcomes, out: &mut Writer<'_>) {
        let results = outcomes.into_iter().map(|(_, outcome)| outcome);
        match self.asked {
            Asked::Size => out.int(results.map(|size| size.worked::<usize>()).sum::<usize>() as i64),
            Asked::Flush(_) | Asked::Swap(..) => out.ok(),
            Asked::Keys(_) => {
                let shares: Vec<Vec<Vec<u8>>> = results.map(|keys| keys.worked()).collect();
                out.array(shares.iter().map(Vec::len).sum());
                shares.iter().flatten().for_each(|key| out.bulk(key));
            }
            Asked::Random => match chosen(core, results.map(|draw| draw.worked()).collect()) {
                Some(key) => out.bulk(&key),
                None => out.null(),
            },
        }
    }
}

/// Of one key per shard, with the number of its keys, one by chance: all keys are as likely.
fn chosen(core: &mut Core, draws: Vec<(Option<Vec<u8>>, usize)>) -> Option<Vec<u8>> {
    let draws: Vec<(Vec<u8>, usize)> = draws.into_iter().filter_map(|(key, keys)| Some((key?, keys.max(1)))).collect();
    let mut left = core.random_below(draws.iter().map(|(_, keys)| keys).sum());
    for (key, keys) in draws {
        if left < keys {
            return Some(key);
        }
        left -= keys;
    }
    None
}

/// What FLUSHALL, FLUSHDB, SWAPDB, DBSIZE, KEYS or RANDOMKEY asks for in the words of an EXEC; None: another command.
pub(super) fn asked(
    core: &Core,
    command: ServerCommand,
    db: DbIndex,
    args: Args<'_>,
) -> Option<Result<Asked, CommandError>> {
    Some(match command {
        ServerCommand::Dbsize => Ok(Asked::Size),
        ServerCommand::Randomkey => Ok(Asked::Random),
        ServerCommand::Keys => Ok(Asked::Keys(args.get(1).to_vec())),
        ServerCommand::Flushall => waits(core, args).map(|_| Asked::Flush(None)),
        ServerCommand::Flushdb => waits(core, args).map(|_| Asked::Flush(Some(db))),
        ServerCommand::Swapdb => swapped(core, args).map(|(a, b)| Asked::Swap(a, b)),
        _ => return None,
    })
}

/// Whether FLUSHALL or FLUSHDB waits until the memory is free.
pub(crate) fn waits(core: &Core, args: Args<'_>) -> Result<bool, CommandError> {
    match args.len() {
        1 => Ok(!core.config.lazyfree_lazy_user_flush),
        2 if args.get(1).eq_ignore_ascii_case(b"SYNC") => Ok(true),
        2 if args.get(1).eq_ignore_ascii_case(b"ASYNC") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

/// The two databases of SWAPDB.
pub(crate) fn swapped(core: &Core, args: Args<'_>) -> Result<(DbIndex, DbIndex), CommandError> {
    let index = |at: usize, text: &'static str| {
        let number = pinyon_base::parse_i64(args.get(at)).ok_or(CommandError::text(text))?;
        i32::try_from(number).map_err(|_| CommandError::text(text))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let in_range = |db: i32| u16::try_from(db).ok().filter(|&db| db < core.settings.databases).map(DbIndex);
    let first = in_range(first).ok_or(CommandError::DbOutOfRange)?;
    let second = in_range(second).ok_or(CommandError::DbOutOfRange)?;
    Ok((first, second))
}
