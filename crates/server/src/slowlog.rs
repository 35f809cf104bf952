//! The slow log of one core: the slow commands of the clients connected to it, newest first.

use std::collections::VecDeque;

use pinyon_engine::command::registry::CommandId;
use pinyon_resp::Args;

use crate::secrets::{REDACTED, secret_args};
use crate::session::Session;
use crate::shared::Shared;

/// Arguments kept of a command, and bytes of each, as Redis cuts them.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    /// Unique in the server, rising.
    pub id: u64,
    pub unix_seconds: i64,
    pub micros: u64,
    pub args: Vec<Vec<u8>>,
    /// The client's id, and its address and name if it was still connected.
    pub client: u64,
    pub address: String,
    pub name: Vec<u8>,
}

impl SlowEntry {
    pub fn new(shared: &Shared, now_ms: i64, ns: u64, command: CommandId, args: Args<'_>) -> SlowEntry {
        SlowEntry {
            id: shared.next_slowlog_id(),
            unix_seconds: now_ms / 1000,
            micros: ns / 1000,
            args: shortened(args, &secret_args(command, args)),
            client: 0,
            address: String::new(),
            name: Vec::new(),
        }
    }

    /// Fills in who it was.
    pub fn describe(&mut self, session: &Session) {
        self.address = session.details.peer.addr_text();
        self.name = session.details.name.clone();
    }
}

fn shortened(args: Args<'_>, secret: &[usize]) -> Vec<Vec<u8>> {
    let shown = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut kept: Vec<Vec<u8>> = args
        .iter()
        .enumerate()
        .take(shown)
        .map(|(at, arg)| shorten(if secret.contains(&at) { REDACTED } else { arg }))
        .collect();
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}

fn shorten(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.to_vec();
    }
    let mut kept = arg[..ARG_BYTES_MAX].to_vec();
    kept.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes());
    kept
}

/// The newest slow commands, at most `slowlog-max-len`.
#[derive(Default)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    capacity: usize,
}

impl SlowLog {
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.entries.truncate(capacity);
    }

    pub fn push(&mut self, entry: SlowEntry) {
        self.entries.push_front(entry);
        self.entries.truncate(self.capacity);
    }

    /// Newest first.
    pub fn entries(&self) -> impl Iterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
