//! Effects into operations: the one place that knows in which form each change is kept.

use std::sync::LazyLock;

use pinyon_base::{DbIndex, parse_i64, slot_of, write_i64};
use pinyon_resp::Args;

use super::write;
use crate::Effect;
use crate::command::keys_of;
use crate::command::registry::{CommandId, Entry, registry};
use crate::command::row::KeyFlags;
use crate::keyspace::{Shard, ValueRef};

/// How a command is recorded that replays as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it was sent if its keys are in one slot, else what became of each key.
    Command,
    /// SET: the text and the deadline.
    Set,
    /// Pairs of keys and texts from the first argument on.
    Pairs,
    /// All arguments are keys that are gone.
    Delete,
    /// COPY: its second key may be in another database.
    Copy,
    Flush,
    FlushAll,
    Swap,
}

/// By the number of the command.
fn form_of(number: usize) -> Form {
    static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
        let form = |entry: &Entry| match &*entry.full_name {
            "set" => Form::Set,
            "mset" | "msetnx" | "setnx" | "getset" => Form::Pairs,
            "del" | "unlink" => Form::Delete,
            "copy" => Form::Copy,
            "flushdb" => Form::Flush,
            "flushall" => Form::FlushAll,
            "swapdb" => Form::Swap,
            _ => Form::Command,
        };
        registry().all().map(|id| form(registry().entry(id))).collect()
    });
    FORMS[number]
}

impl Shard {
    /// Appends the operations that make `effect` of the command `id` with `args`, which has just run in `db`. Its name among
    /// them may be one that `rename-command` has given it.
    pub(crate) fn encode(&mut self, db: DbIndex, id: CommandId, args: Args<'_>, effect: Effect, out: &mut Vec<u8>) {
        match effect {
            Effect::None | Effect::Recorded { .. } => {}
            Effect::AsSent { .. } => self.encode_as_sent(db, id, args, out),
            Effect::Put { key } => self.encode_key(db, args.get(usize::from(key)), out),
            Effect::PutMany { first, step, count } => {
                for number in 0..count as usize {
                    self.encode_key(db, args.get(usize::from(first) + number * usize::from(step)), out);
                }
            }
            Effect::Deadline { key } => {
                let key = args.get(usize::from(key));
                match self.as_it_is(db, key).map(|(_, deadline)| deadline) {
                    Some(at) => {
                        write::head(write::DEADLINE, db, out);
                        write::bytes(key, out);
                        write::deadline(at, out);
                    }
                    None => write::delete(db, key, out),
                }
            }
            Effect::Deleted { key } => write::delete(db, args.get(usize::from(key)), out),
        }
    }

    fn encode_as_sent(&mut self, db: DbIndex, id: CommandId, args: Args<'_>, out: &mut Vec<u8>) {
        match form_of(id.index()) {
            // The options may keep a deadline.
            Form::Set if args.len() > 3 => self.encode_key(db, args.get(1), out),
            Form::Set => write::text(db, args.get(1), None, args.get(2), out),
            Form::Pairs => {
                for at in (1..args.len() - 1).step_by(2) {
                    write::text(db, args.get(at), None, args.get(at + 1), out);
                }
            }
            Form::Delete => args.from(1).iter().for_each(|key| write::delete(db, key, out)),
            Form::Copy => self.encode_key(target_of_copy(db, args), args.get(2), out),
            Form::Flush => write::head(write::FLUSH, db, out),
            Form::FlushAll => write::head(write::FLUSH_ALL, db, out),
            Form::Swap => {
                let index = |at| parse_i64(args.get(at)).and_then(|db| u16::try_from(db).ok()).map(DbIndex);
                let (Some(first), Some(second)) = (index(1), index(2)) else { unreachable!("SWAPDB has run") };
                write::head(write::SWAP, first, out);
                write::varint(u64::from(second.0), out);
            }
            Form::Command => self.encode_command(db, args, registry().entry(with_subcommand(id, args)), out),
        }
    }

    fn encode_command(&mut self, db: DbIndex, args: Args<'_>, entry: &Entry, out: &mut Vec<u8>) {
        let mut keys = keys_of::keys(entry, args);
        let first = keys.next().map(|at| slot_of(args.get(at)));
        if keys.all(|at| Some(slot_of(args.get(at))) == first) {
            write::command(db, args.len(), out);
            let name = entry.full_name.split('|').next().unwrap_or_default();
            write::bytes(name.as_bytes(), out);
            args.iter().skip(1).for_each(|arg| write::bytes(arg, out));
            return;
        }
        // Another number of shards may part them: each key for itself, then.
        keys_of::keys_with_flags(entry, args, |at, flags| {
            if !flags.contains(KeyFlags::RO) {
                self.encode_key(db, args.get(at), out);
            }
        });
    }

    /// The key as it is now: its value and deadline, or that it is gone.
    pub(crate) fn encode_key(&mut self, db: DbIndex, key: &[u8], out: &mut Vec<u8>) {
        let Some((value, deadline)) = self.as_it_is(db, key) else { return write::delete(db, key, out) };
        match value {
            ValueRef::Int(value) => write::text(db, key, deadline, write_i64(&mut [0; 20], value), out),
            ValueRef::Bytes(text) | ValueRef::Raw(text) => write::text(db, key, deadline, text, out),
            ValueRef::Blob(blob) => write::text(db, key, deadline, blob, out),
            ValueRef::Collection(collection) => write::value(db, key, deadline, collection, out),
        }
    }
}

/// The command, or its subcommand that the arguments name.
pub(super) fn with_subcommand(id: CommandId, args: Args<'_>) -> CommandId {
    let has_some = !registry().row(id).subcommands.is_empty() && args.len() > 1;
    has_some.then(|| registry().find_sub(id, args.get(1))).flatten().unwrap_or(id)
}

/// The database of COPY's second key.
fn target_of_copy(db: DbIndex, args: Args<'_>) -> DbIndex {
    let named = (3..args.len() - 1).find(|at| args.get(*at).eq_ignore_ascii_case(b"DB"));
    let index = named.and_then(|at| parse_i64(args.get(at + 1))).and_then(|db| u16::try_from(db).ok());
    index.map_or(db, DbIndex)
}
