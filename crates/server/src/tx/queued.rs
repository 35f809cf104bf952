//! The commands queued since MULTI, in one buffer, and what is known of them before EXEC.

use pinyon_base::DbIndex;
use pinyon_engine::command::key::transfer::db_index;
use pinyon_engine::command::keys_of::keys;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Command, Flags, Handler, ServerCommand};
use pinyon_engine::transaction::Access;
use pinyon_resp::{Args, Span};

use super::whole::access_of;
use crate::core::Core;
use crate::hop::Batch;
use crate::settings::Gates;

/// A connection's queue. Emptied and kept, it is used again by the next MULTI.
#[derive(Debug)]
pub struct Multi {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    pub commands: Vec<Queued>,
    /// How the client wrote EXEC, for MONITOR.
    pub word: Vec<u8>,
    /// All flags of the commands together.
    pub flags: Flags,
    /// The shard of the first command with keys.
    pub owner: Option<u16>,
    /// It takes more than one shard's doing: keys of several, or the server's help.
    pub wide: bool,
    /// What happens to all keys, if anything does.
    pub whole: Option<Access>,
}

/// One queued command; where its bytes and arguments are.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    pub id: CommandId,
    pub how: How,
    /// The hash of its first key.
    pub hash: u64,
    start: usize,
    end: usize,
    spans_start: usize,
    spans_end: usize,
}

/// How a queued command is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// On one shard; None: anywhere, for its keys cannot be told.
    Keyed(Option<u16>),
    /// Its keys are on several shards.
    Spread,
    /// By the server at any moment: it has to do with no key.
    Free,
    /// Over all keys.
    Whole,
    /// By the server, in its turn.
    Server,
}

/// Buffers grown beyond this are not kept, in bytes.
const KEEP_BYTES: usize = 16 << 10;
/// Empty queues kept for the next MULTI, per core.
const SPARE_QUEUES: usize = 64;

impl Default for Multi {
    fn default() -> Multi {
        Multi {
            bytes: Vec::new(),
            spans: Vec::new(),
            commands: Vec::new(),
            word: Vec::new(),
            flags: Flags::empty(),
            owner: None,
            wide: false,
            whole: None,
        }
    }
}

impl Multi {
    pub fn args(&self, queued: &Queued) -> Args<'_> {
        Args { bytes: &self.bytes[queued.start..queued.end], spans: &self.spans[queued.spans_start..queued.spans_end] }
    }

    /// Bytes of all arguments together, roughly.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.commands.capacity() * size_of::<Queued>()
    }

    fn push(&mut self, id: CommandId, row: &Command, how: How, hash: u64, args: Args<'_>) {
        let (start, spans_start) = (self.bytes.len(), self.spans.len());
        self.bytes.extend_from_slice(args.bytes);
        self.spans.extend_from_slice(args.spans);
        self.flags |= row.flags;
        match how {
            How::Keyed(Some(shard)) => match self.owner {
                None => self.owner = Some(shard),
                Some(owner) => self.wide |= owner != shard,
            },
            How::Keyed(None) | How::Free => {}
            How::Spread | How::Whole | How::Server => self.wide = true,
        }
        let (end, spans_end) = (self.bytes.len(), self.spans.len());
        self.commands.push(Queued { id, how, hash, start, end, spans_start, spans_end });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.commands.clear();
        self.flags = Flags::empty();
        (self.owner, self.wide, self.whole) = (None, false, None);
    }

    /// The database of the commands that follow, if a command is a SELECT that will succeed.
    pub fn selects(&self, queued: &Queued, databases: u16) -> Option<DbIndex> {
        match registry().row(queued.id).handler {
            Handler::Server(ServerCommand::Select) => db_index(self.args(queued).get(1), databases).ok(),
            _ => None,
        }
    }
}

impl Core {
    /// Queues a command of a connection that has begun a MULTI.
    pub(crate) fn queue(&mut self, multi: &mut Multi, id: CommandId, row: &Command, args: Args<'_>) {
        let mut hash = 0;
        let how = match row.handler {
            Handler::Shard(_) | Handler::Spread(..) => {
                let mut positions = keys(registry().entry(id), args);
                let all = self.touches_all(id, args);
                multi.whole = multi.whole.max(all);
                match positions.next() {
                    None => How::Keyed(None),
                    Some(first) => {
                        hash = self.exec.shard.hash(args.get(first));
                        let owner = self.owner(args.get(first));
                        match all.is_none() && positions.all(|at| self.owner(args.get(at)) == owner) {
                            true => How::Keyed(Some(owner)),
                            false => How::Spread,
                        }
                    }
                }
            }
            Handler::Server(command) => match access_of(command) {
                Some(access) => {
                    multi.whole = Some(multi.whole.map_or(access, |most| most.max(access)));
                    if command == ServerCommand::Scan { How::Server } else { How::Whole }
                }
                None if is_free(command) => How::Free,
                None => How::Server,
            },
            Handler::Container => unreachable!("a container's subcommand is queued"),
        };
        multi.push(id, row, how, hash, args);
    }

    pub(crate) fn spare_queue(&mut self) -> Box<Multi> {
        self.tx.spare_queues.pop().unwrap_or_default()
    }

    pub(crate) fn keep_queue(&mut self, mut multi: Box<Multi>) {
        if self.tx.spare_queues.len() < SPARE_QUEUES && multi.memory() <= KEEP_BYTES {
            multi.clear();
            self.tx.spare_queues.push(multi);
        }
    }

    /// Whether one of the commands, all of which are on this shard, has to wait. They begin in database `db`.
    pub(super) fn is_queue_blocked(&self, multi: &Multi, mut db: DbIndex) -> bool {
        self.gates.contains(Gates::INTENTS)
            && multi.commands.iter().any(|queued| match queued.how {
                How::Keyed(_) => self.is_blocked(queued.id, db, multi.args(queued)),
                _ => {
                    db = multi.selects(queued, self.settings.databases).unwrap_or(db);
                    false
                }
            })
    }

    /// A batch to fill.
    pub(crate) fn spare_batch(&mut self) -> Box<Batch> {
        self.spare_batches.pop().unwrap_or_default()
    }
}

/// Whether the server can carry it out at any moment between the commands on keys: its reply depends on none of them, and
/// none on it but by the database.
fn is_free(command: ServerCommand) -> bool {
    matches!(command, ServerCommand::Ping | ServerCommand::Echo | ServerCommand::Time | ServerCommand::Select)
}
