//! Commands whose keys lie on several shards: split into parts that each shard runs, joined here.
//!
//! Each part runs on its shard as one step and parts keep their order with the connection's other commands, but the parts
//! of one command are not one moment in time.

use pinyon_base::{shard_of, slot_of};
use pinyon_engine::CommandError;
use pinyon_engine::command::keys_of::{Keys, keys};
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Command, KeyHandler, Spread};
use pinyon_resp::{Args, Output, Span, Writer};
use pinyon_runtime::ConnId;

use crate::core::{Core, Io};
use crate::dispatch::first_key;
use crate::exec::Run;
use crate::gather::Ticket;
use crate::hop::Origin;
use crate::session::SessionFlags;

mod two_keys;
pub(crate) mod whole;

/// A split command's parts on their way home.
pub struct Join {
    /// Where the joined reply goes.
    reply: Target,
    missing: u32,
    how: Joining,
    /// The first error reply of a part: it becomes the reply.
    error: Option<Output>,
}

/// Who waits for a join.
enum Target {
    Slot {
        conn: ConnId,
        seq: u32,
        silent: bool,
    },
    /// A procedure of several steps goes on with the sum.
    Then(NextStep),
}

/// What follows when all parts are home: it gets the sum, or the first error reply.
type NextStep = Box<dyn FnOnce(&mut Core, &mut Io, Result<i64, Output>)>;

/// How the parts become one reply.
enum Joining {
    /// Integers are added.
    Sum(i64),
    /// Part i is element i of the reply.
    Elements(Vec<Output>),
    /// All say OK.
    Ok,
}

impl Core {
    /// The one shard that owns all keys of the command; None when there are several. A command whose keys can't be found in
    /// its arguments runs here and says what is wrong.
    pub(crate) fn single_owner(&self, id: CommandId, args: Args<'_>) -> Option<u16> {
        let mut owners = keys(registry().entry(id), args).map(|position| self.owner(args.get(position)));
        let first = owners.next().unwrap_or(self.id.0);
        owners.all(|owner| owner == first).then_some(first)
    }

    pub(crate) fn owner(&self, key: &[u8]) -> u16 {
        if self.shards == 1 { 0 } else { shard_of(slot_of(key), self.shards).0 }
    }

    /// Runs a command whose keys lie on several shards.
    pub(crate) fn run_spread(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        spread: Spread,
        handler: KeyHandler,
        args: Args<'_>,
    ) {
        match spread {
            Spread::Sum => {
                let parts = self.by_owner(keys(registry().entry(id), args), args, 1);
                self.run_parts(io, conn, id, handler, Joining::Sum(0), &parts, args);
            }
            Spread::Pairs if args.len().is_multiple_of(2) => {
                let name = registry().full_name(id).to_owned();
                self.reply_error(io, conn, &CommandError::WrongArity(name.into()));
            }
            Spread::Pairs => {
                let parts = self.by_owner(keys(registry().entry(id), args), args, 2);
                self.run_parts(io, conn, id, handler, Joining::Ok, &parts, args);
            }
            Spread::Gather => {
                let parts: Vec<Part> = keys(registry().entry(id), args)
                    .map(|position| Part { owner: self.owner(args.get(position)), positions: vec![position] })
                    .collect();
                let elements = Joining::Elements(parts.iter().map(|_| Output::default()).collect());
                self.run_parts(io, conn, id, handler, elements, &parts, args);
            }
            Spread::MsetNx => self.msetnx_over_shards(io, conn, args),
            Spread::MsetEx => self.msetex_over_shards(io, conn, args),
            Spread::Rename => self.rename_over_shards(io, conn, args, false),
            Spread::RenameNx => self.rename_over_shards(io, conn, args, true),
            Spread::Copy => self.copy_over_shards(io, conn, args),
            Spread::Lcs => self.lcs_over_shards(io, conn, args),
        }
    }

    /// Groups keys by owner; `width` arguments from each key's position on go along with it.
    fn by_owner(&self, keys: Keys, args: Args<'_>, width: usize) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for position in keys {
            let owner = self.owner(args.get(position));
            let positions = position..(position + width).min(args.len());
            match parts.iter_mut().find(|part| part.owner == owner) {
                Some(part) => part.positions.extend(positions),
                None => parts.push(Part { owner, positions: positions.collect() }),
            }
        }
        parts
    }

    /// Sends the parts off, or runs them here, under a reply slot of `conn`.
    #[allow(clippy::too_many_arguments)]
    fn run_parts(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        handler: KeyHandler,
        how: Joining,
        parts: &[Part],
        args: Args<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let silent = session.is_silent();
        let seq = session.slots.get_or_insert_with(|| self.slots_pool.pop().unwrap_or_default()).reserve();
        let reply = Target::Slot { conn, seq, silent };
        self.start_join(io, conn, id, handler, how, reply, parts, args);
    }

    #[allow(clippy::too_many_arguments)]
    fn start_join(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        handler: KeyHandler,
        how: Joining,
        reply: Target,
        parts: &[Part],
        args: Args<'_>,
    ) {
        if self.sessions.get(conn).is_none() {
            return;
        }
        let join = self.joins.insert(Join { reply, missing: parts.len() as u32, how, error: None });
        for (number, part) in parts.iter().enumerate() {
            let Some(session) = self.sessions.get(conn) else {
                unreachable!("looked at above; nothing closes it here")
            };
            let origin = Origin::Part { join, part: number as u32 };
            let hash = self.exec.shard.hash(args.get(part.positions[0]));
            let head = session.head(origin, id, hash);
            let part_args = part.positions.iter().map(|&position| args.get(position));
            let part_args = std::iter::once(args.get(0)).chain(part_args);
            if part.owner == self.id.0 {
                let output = self.run_part_here(head, handler, part_args);
                self.part_arrived(io, join, number as u32, output);
            } else {
                self.hop(io, part.owner, head, part_args);
            }
        }
    }

    fn run_part_here<'a>(
        &mut self,
        head: crate::hop::RequestHead,
        handler: KeyHandler,
        args: impl Iterator<Item = &'a [u8]>,
    ) -> Output {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for arg in args {
            spans.push(Span { start: bytes.len() as u32, len: arg.len() as u32 });
            bytes.extend_from_slice(arg);
        }
        let entry = registry().entry(head.command);
        let run = Run {
            command: head.command,
            flags: entry.row.flags,
            handler,
            db: head.db,
            proto: head.proto,
            no_touch: head.no_touch,
            key_at: first_key(&entry.keys),
            hash: head.hash,
            counts: false,
        };
        let mut output = Output::default();
        self.exec.run(run, Args { bytes: &bytes, spans: &spans }, &mut output);
        output
    }

    /// Takes in the reply of one part; the last one completes the command.
    pub(crate) fn part_arrived(&mut self, io: &mut Io, id: u32, part: u32, mut output: Output) {
        let join = self.joins.get_mut(id);
        join.missing -= 1;
        if output.bytes_mut().first() == Some(&b'-') {
            join.error.get_or_insert(output);
        } else {
            match &mut join.how {
                Joining::Sum(sum) => *sum += integer(output.bytes_mut()),
                Joining::Elements(elements) => elements[part as usize] = output,
                Joining::Ok => {}
            }
        }
        if join.missing == 0 {
            let join = self.joins.remove(id);
            self.finish_join(io, join);
        }
    }

    fn finish_join(&mut self, io: &mut Io, join: Join) {
        let sum = match join.how {
            Joining::Sum(sum) => sum,
            _ => 0,
        };
        let (conn, seq, silent) = match join.reply {
            Target::Slot { conn, seq, silent } => (conn, seq, silent),
            Target::Then(next) => return next(self, io, join.error.map_or(Ok(sum), Err)),
        };
        let Some(session) = self.sessions.get(conn) else { return };
        let proto = session.proto;
        let mut reply = Output::default();
        let mut out = Writer { out: &mut reply, proto };
        match (join.error, join.how) {
            (Some(mut error), _) => reply.append(&mut error),
            (None, Joining::Sum(sum)) => out.int(sum),
            (None, Joining::Ok) => out.ok(),
            (None, Joining::Elements(elements)) => {
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
        if silent {
            reply.clear();
        }
        self.fill_slot(io, conn, seq, &mut reply);
    }

    /// Puts a finished reply under a promise and lets the connection go on.
    fn fulfil_output(&mut self, io: &mut Io, ticket: Ticket, mut reply: Output) {
        let Some(session) = self.sessions.get_mut(ticket.conn) else { return };
        session.flags.remove(SessionFlags::BLOCKED);
        if ticket.silent {
            reply.clear();
        }
        // First, so that a client that has half closed is not taken for one with nothing left to run.
        self.mark_ready(ticket.conn);
        self.fill_slot(io, ticket.conn, ticket.seq, &mut reply);
    }
}

/// The header of the reply of a part with one element.
const ARRAY_OF_ONE: &[u8] = b"*1\r\n";

/// The arguments that go to one shard.
struct Part {
    owner: u16,
    /// Positions among the command's arguments; its name goes first by itself.
    positions: Vec<usize>,
}

/// The number in an integer reply.
fn integer(reply: &[u8]) -> i64 {
    let digits = reply.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n"));
    digits.and_then(pinyon_base::number::parse_i64).expect("a part of a sum answers an integer")
}

/// A row and its number by name.
fn command(name: &[u8]) -> (CommandId, &'static Command) {
    let id = registry().find(name).expect("the command exists");
    (id, registry().row(id))
}
