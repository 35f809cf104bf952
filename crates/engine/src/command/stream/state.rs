//! XSETID: what a stream remembers beside its entries.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::stream::{Stream, StreamId};

use super::id;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

pub(super) const XSETID: Command = Command {
    name: "xsetid",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Sets the last ID of a stream.",
    history: &[("7.0.0", "The arguments `entries_added` and `max_deleted_entry_id`.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("last-id", ArgKind::String),
        Arg::new("entries_added", ArgKind::Integer).with_token("ENTRIESADDED").optional().since("7.0.0"),
        Arg::new("max_deleted_entry_id", ArgKind::String).with_token("MAXDELETEDID").optional().since("7.0.0"),
    ],
    handler: Handler::Shard(xsetid),
    ..Command::EMPTY
};

fn xsetid(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let last_id = id::parse_strict(args.get(2), 0)?;
    let (mut entries_added, mut max_deleted) = (None, StreamId::MIN);
    let mut at = 3;
    while at < args.len() {
        let named = |name: &str| at + 1 < args.len() && args.get(at).eq_ignore_ascii_case(name.as_bytes());
        if named("ENTRIESADDED") {
            let number = parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?;
            let number = u64::try_from(number).map_err(|_| CommandError::text("ERR entries_added must be positive"))?;
            entries_added = Some(number);
        } else if named("MAXDELETEDID") {
            max_deleted = id::parse_strict(args.get(at + 1), 0)?;
            if last_id < max_deleted {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    let key = cx.ks.key(args, 1);
    let stream = cx.ks.update::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    if let Some(top) = stream.last_entry() {
        if last_id < top {
            return Err(CommandError::text(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if entries_added.is_some_and(|added| added < stream.len()) {
            return Err(CommandError::text(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    stream.set_last_id(last_id);
    if let Some(added) = entries_added {
        stream.entries_added = added;
    }
    if max_deleted != StreamId::MIN {
        stream.max_deleted_id = max_deleted;
    }
    cx.ks.changed_unwatched::<Stream>(key);
    cx.ks.notify(Events::STREAM, "xsetid", key);
    cx.out.ok();
    Ok(Effect::AsSent { changes: 1 })
}
