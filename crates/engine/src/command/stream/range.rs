//! Entries between two IDs: XRANGE, XREVRANGE. How many there are, XLEN. XDEL.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::stream::Stream;

use super::entry::Gathered;
use super::id;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub(super) const XLEN: Command = Command {
    name: "xlen",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Replies how many entries a stream has.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(xlen),
    ..Command::EMPTY
};

fn xlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let len = cx.ks.read_as::<Stream>(key)?.map_or(0, Stream::len);
    cx.out.int(len as i64);
    Ok(Effect::None)
}

pub(super) const XRANGE: Command = Command {
    name: "xrange",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries replied, after O(log M) to find the first of M.",
    summary: "Replies the entries between two IDs.",
    history: &[("6.2.0", "Exclusive ranges.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("start", ArgKind::String),
        Arg::new("end", ArgKind::String),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Shard(xrange),
    ..Command::EMPTY
};

pub(super) const XREVRANGE: Command = Command {
    name: "xrevrange",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries replied, after O(log M) to find the first of M.",
    summary: "Replies the entries between two IDs, the highest first.",
    history: &[("6.2.0", "Exclusive ranges.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("end", ArgKind::String),
        Arg::new("start", ArgKind::String),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Shard(xrevrange),
    ..Command::EMPTY
};

fn xrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    range(cx, args, false)
}

fn xrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    range(cx, args, true)
}

fn range(cx: &mut Cx<'_>, args: Args<'_>, reverse: bool) -> Result<Effect, CommandError> {
    let (from_at, to_at) = if reverse { (3, 2) } else { (2, 3) };
    let from = id::parse_start(args.get(from_at))?;
    let to = id::parse_end(args.get(to_at))?;
    // None: all of them.
    let mut count = None;
    let mut at = 4;
    while at < args.len() {
        if !args.get(at).eq_ignore_ascii_case(b"COUNT") || at + 1 == args.len() {
            return Err(CommandError::Syntax);
        }
        count = Some(parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?.max(0) as u64);
        at += 2;
    }
    let key = cx.ks.key(args, 1);
    let Some(stream) = cx.ks.read_as::<Stream>(key)? else {
        cx.out.array(0);
        return Ok(Effect::None);
    };
    if count == Some(0) {
        cx.out.null_array();
        return Ok(Effect::None);
    }
    let mut entries = Gathered::new(cx.out.proto);
    entries.add_range(stream, (from, to), reverse, count.unwrap_or(0), |_| {});
    entries.write(&mut cx.out);
    Ok(Effect::None)
}

pub(super) const XDEL: Command = Command {
    name: "xdel",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1) for each ID.",
    summary: "Deletes entries of a stream.",
    args: &[Arg::key("key", 0), Arg::new("id", ArgKind::String).multiple()],
    handler: Handler::Shard(xdel),
    ..Command::EMPTY
};

fn xdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let Some(stream) = cx.ks.update::<Stream>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    // All are looked at before the first is deleted.
    let ids = (2..args.len()).map(|at| id::parse_strict(args.get(at), 0)).collect::<Result<Vec<_>, _>>()?;
    let deleted = ids.into_iter().filter(|id| stream.delete(*id)).count();
    cx.out.int(deleted as i64);
    if deleted == 0 {
        return Ok(Effect::None);
    }
    cx.ks.changed::<Stream>(key);
    Ok(Effect::AsSent { changes: deleted as u32 })
}
