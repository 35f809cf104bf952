//! Commands that each shard runs on its part of the keys, all parts at one moment: MGET, MSET, DEL, UNLINK, EXISTS, TOUCH.
//! And what all commands over shards begin with: what they touch where, and the one who waits for the reply.

use pinyon_base::{shard_of, slot_of};
use pinyon_engine::CommandError;
use pinyon_engine::command::keys_of::{Keys, keys};
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::Spread;
use pinyon_engine::transaction::{Intents, each_intent};
use pinyon_resp::{Args, Output, Proto, Writer};
use pinyon_runtime::ConnId;

use super::{Go, Outcome, Outcomes, Part, Procedure, Script, Step};
use crate::blocking;
use crate::core::{Core, Io};
use crate::gather::Ticket;
use crate::hop::{Batch, Origin, RequestHead};
use crate::kept::Kept;

/// Whose command it is, and how it is to be answered.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    /// Without a place for the reply.
    pub head: RequestHead,
    pub proto: Proto,
}

/// One command over several shards on its own.
struct Alone {
    ticket: Ticket,
    procedure: Box<dyn Procedure>,
}

impl Script for Alone {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        match self.procedure.next(core, io, outcomes) {
            Go::Run { parts, last } => Step::Run { parts, last },
            Go::Reply(reply) => {
                core.fulfil_output(io, self.ticket, reply);
                Step::Done
            }
        }
    }

    fn only_step(&mut self) -> Option<Vec<(u16, Part)>> {
        self.procedure.only_step()
    }
}

/// How the parts become one reply.
enum Joining {
    /// Integers are added.
    Sum,
    /// Part i is element i of the reply.
    Elements(usize),
    /// All say OK.
    Ok,
}

/// A command in parts that need not know of each other.
struct Split {
    proto: Proto,
    how: Joining,
    parts: Option<Vec<(u16, Part)>>,
}

impl Core {
    /// The one shard that owns all keys of the command; None when there are several. A command whose keys can't be found in
    /// its arguments runs here and says what is wrong.
    pub(crate) fn single_owner(&self, id: CommandId, args: Args<'_>) -> Option<u16> {
        if self.touches_all(id, args).is_some() {
            return None;
        }
        let mut owners = keys(registry().entry(id), args).map(|position| self.owner(args.get(position)));
        let first = owners.next().unwrap_or(self.id.0);
        owners.all(|owner| owner == first).then_some(first)
    }

    pub(crate) fn owner(&self, key: &[u8]) -> u16 {
        if self.shards == 1 { 0 } else { shard_of(slot_of(key), self.shards).0 }
    }

    /// Adds what a command touches to the intents of each shard.
    pub(crate) fn add_intents(&self, wants: &mut Vec<(u16, Intents)>, id: CommandId, args: Args<'_>) {
        each_intent(registry().entry(id), args, |position, access| {
            let key = args.get(position);
            let (owner, hash) = (self.owner(key), self.exec.shard.hash(key));
            intents_on(wants, owner).add(hash, access);
        });
        if let Some(access) = self.touches_all(id, args) {
            (0..self.shards).for_each(|shard| intents_on(wants, shard).widen(access));
        }
    }

    /// Runs a command whose keys lie on several shards.
    pub(crate) fn run_spread(&mut self, io: &mut Io, conn: ConnId, id: CommandId, spread: Spread, args: Args<'_>) {
        let Some(session) = self.sessions.get(conn) else { return };
        let caller = session.caller(id);
        let procedure = match self.procedure(io.now_ms(), caller, spread, args) {
            Ok(procedure) => procedure,
            Err(error) => return self.reply_error(io, conn, &error),
        };
        let mut wants = Vec::new();
        self.add_intents(&mut wants, id, args);
        self.run_procedure(io, conn, wants, procedure);
    }

    /// Runs a procedure over shards; the connection waits for its reply.
    pub(crate) fn run_procedure(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        wants: Vec<(u16, Intents)>,
        procedure: Box<dyn Procedure>,
    ) {
        let ticket = self.promise(conn);
        self.begin_transaction(io, wants, Box::new(Alone { ticket, procedure }));
    }

    /// What a command over shards does, or why it does nothing.
    pub(super) fn procedure(
        &mut self,
        now_ms: i64,
        caller: Caller,
        spread: Spread,
        args: Args<'_>,
    ) -> Result<Box<dyn Procedure>, CommandError> {
        Ok(match spread {
            Spread::Sum => Box::new(self.split(caller, Joining::Sum, 1, args)),
            Spread::Pairs if args.len().is_multiple_of(2) => {
                return Err(CommandError::WrongArity(registry().full_name(caller.head.command).to_owned().into()));
            }
            Spread::Pairs => Box::new(self.split(caller, Joining::Ok, 2, args)),
            Spread::Gather => Box::new(self.elements(caller, args)),
            Spread::MsetNx => Box::new(self.msetnx_over_shards(caller, args)?),
            Spread::MsetEx => Box::new(self.msetex_over_shards(now_ms, caller, args)?),
            Spread::Rename => Box::new(self.rename_over_shards(caller, args, false)),
            Spread::RenameNx => Box::new(self.rename_over_shards(caller, args, true)),
            Spread::Copy => Box::new(self.copy_over_shards(caller, args)?),
            Spread::Sort => Box::new(self.sort_over_shards(caller, args)?),
            Spread::Bitop => Box::new(self.bitop_over_shards(caller, args)?),
            Spread::Pfcount => Box::new(self.pfcount_over_shards(caller, args)),
            Spread::Pfmerge => Box::new(self.pfmerge_over_shards(caller, args)),
            Spread::Lcs => Box::new(self.lcs_over_shards(caller, args)),
            Spread::Lend => Box::new(self.lend_over_shards(caller, args)),
            Spread::Smove => Box::new(self.smove_over_shards(caller, args)),
            Spread::Move => Box::new(blocking::moving(self, caller, args)?),
            Spread::Tries => blocking::trying(self, caller, args, None)?,
        })
    }

    /// One part for each shard with its keys, `width` arguments from each key's position on.
    fn split(&mut self, caller: Caller, how: Joining, width: usize, args: Args<'_>) -> Split {
        let shares = self.by_owner(keys(registry().entry(caller.head.command), args), args, width);
        let parts = shares
            .iter()
            .map(|share| {
                let words = share.positions.iter().map(|&position| args.get(position));
                let mut batch = self.spare_batch();
                let hash = self.exec.shard.hash(args.get(share.positions[0]));
                batch.push(caller.part(0, hash), std::iter::once(args.get(0)).chain(words));
                (share.owner, Part::Batch(batch))
            })
            .collect();
        Split { proto: caller.proto, how, parts: Some(parts) }
    }

    /// One command for each key, in one part for each shard.
    fn elements(&mut self, caller: Caller, args: Args<'_>) -> Split {
        let mut parts: Vec<(u16, Box<Batch>)> = Vec::new();
        let positions = keys(registry().entry(caller.head.command), args);
        let count = positions.len();
        for (number, position) in positions.enumerate() {
            let key = args.get(position);
            let owner = self.owner(key);
            let at = parts.iter().position(|(shard, _)| *shard == owner).unwrap_or_else(|| {
                parts.push((owner, self.spare_batch()));
                parts.len() - 1
            });
            let head = caller.part(number as u32, self.exec.shard.hash(key));
            parts[at].1.push(head, [args.get(0), key].into_iter());
        }
        let parts = parts.into_iter().map(|(shard, batch)| (shard, Part::Batch(batch))).collect();
        Split { proto: caller.proto, how: Joining::Elements(count), parts: Some(parts) }
    }

    /// Groups keys by owner; `width` arguments from each key's position on go along with it.
    pub(super) fn by_owner(&self, keys: Keys, args: Args<'_>, width: usize) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        for position in keys {
            let owner = self.owner(args.get(position));
            let positions = position..(position + width).min(args.len());
            match shares.iter_mut().find(|share| share.owner == owner) {
                Some(share) => share.positions.extend(positions),
                None => shares.push(Share { owner, positions: positions.collect() }),
            }
        }
        shares
    }

    /// Answers with an error, and counts it.
    pub(crate) fn reply_error(&mut self, io: &mut Io, conn: ConnId, error: &CommandError) {
        let command = self.sessions.get(conn).and_then(|session| session.last_command);
        self.exec.stats.failed(command, error.code());
        self.reply(io, conn, |out| error.write(out));
    }

    /// Answers a promise with an error, and counts it.
    pub(crate) fn fail(&mut self, io: &mut Io, ticket: Ticket, error: &CommandError) {
        self.exec.stats.failed(ticket.command, error.code());
        self.fulfil(io, ticket, |out| error.write(out));
    }
}

impl Procedure for Split {
    fn only_step(&mut self) -> Option<Vec<(u16, Part)>> {
        self.parts.take()
    }

    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        if let Some(parts) = self.parts.take() {
            return Go::Run { parts, last: true };
        }
        let (mut sum, mut error) = (0, None);
        let mut elements: Vec<Output> = Vec::new();
        if let Joining::Elements(count) = self.how {
            elements.resize_with(count, Output::default);
        }
        for (_, outcome) in outcomes {
            let Outcome::Batch(mut batch) = outcome else { unreachable!("its parts are batches") };
            batch.each_reply(|origin, mut output| {
                let Origin::Part { part, .. } = origin else { unreachable!("made above") };
                match (output.bytes_mut().first(), &self.how) {
                    (Some(&b'-'), _) => _ = error.get_or_insert(output),
                    (_, Joining::Sum) => sum += integer(output.bytes_mut()),
                    (_, Joining::Elements(_)) => elements[part as usize] = output,
                    (_, Joining::Ok) => {}
                }
            });
            core.keep_batch(batch);
        }
        Go::Reply(error.unwrap_or_else(|| self.joined(sum, elements)))
    }
}

impl Split {
    fn joined(&self, sum: i64, elements: Vec<Output>) -> Output {
        let mut reply = Output::default();
        let mut out = Writer { out: &mut reply, proto: self.proto };
        match self.how {
            Joining::Sum => out.int(sum),
            Joining::Ok => out.ok(),
            Joining::Elements(_) => {
                out.array(elements.len());
                for element in elements {
                    // Each part answered an array of one.
                    for (number, piece) in element.pieces().enumerate() {
                        let from = if number == 0 { ARRAY_OF_ONE.len() } else { 0 };
                        reply.bytes_mut().extend_from_slice(&piece[from..]);
                    }
                }
            }
        }
        reply
    }
}

impl Caller {
    /// For one part of a split command.
    pub(super) fn part(&self, part: u32, hash: u64) -> RequestHead {
        RequestHead { origin: Origin::Part { item: 0, part }, hash, ..self.head }
    }

    /// A reply in the caller's protocol.
    pub(crate) fn reply(&self, write: impl FnOnce(&mut Writer<'_>)) -> Output {
        let mut reply = Output::default();
        write(&mut Writer { out: &mut reply, proto: self.proto });
        reply
    }

    /// An error as the reply; counted as the command's.
    pub(crate) fn error(&self, core: &mut Core, error: &CommandError) -> Go {
        core.exec.stats.failed(Some(self.head.command), error.code());
        Go::Reply(self.reply(|out| error.write(out)))
    }
}

/// The header of the reply of a part with one element.
const ARRAY_OF_ONE: &[u8] = b"*1\r\n";

/// The arguments that go to one shard.
pub(super) struct Share {
    pub owner: u16,
    /// Positions among the command's arguments; its name goes first by itself.
    pub positions: Vec<usize>,
}

/// The intents of a shard among those collected.
pub(super) fn intents_on(wants: &mut Vec<(u16, Intents)>, owner: u16) -> &mut Intents {
    let at = wants.iter().position(|(shard, _)| *shard == owner).unwrap_or_else(|| {
        wants.push((owner, Intents::default()));
        wants.len() - 1
    });
    &mut wants[at].1
}

/// The number in an integer reply.
fn integer(reply: &[u8]) -> i64 {
    let digits = reply.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n"));
    digits.and_then(pinyon_base::number::parse_i64).expect("a part of a sum answers an integer")
}

/// A command's arguments that outlive the call, shared by the parts of its steps.
pub(super) type SharedArgs = std::sync::Arc<Kept>;
