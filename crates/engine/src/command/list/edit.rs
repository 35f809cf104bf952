//! Elements changed where they are: LSET, LINSERT, LREM, LTRIM.

use pinyon_resp::Args;
use pinyon_values::list::List;

use super::{ELEMENT, INDEX, KEY, integer, place, span};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub const LSET: Command = Command {
    name: "lset",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::List,
    since: "1.0.0",
    complexity: "O(log N) in the number of elements, and O(1) at the ends.",
    summary: "Overwrites the element at an index.",
    args: &[KEY, INDEX, ELEMENT],
    handler: Handler::Shard(lset),
    ..Command::EMPTY
};

fn lset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let list = cx.ks.update::<List>(key)?.ok_or(CommandError::NoSuchKey)?;
    let index = integer(args, 2)?;
    let at = place(index, list.len()).ok_or(CommandError::IndexOutOfRange)?;
    list.set(at, args.get(3), &limits);
    cx.ks.changed::<List>(key);
    cx.out.ok();
    Ok(Effect::AsSent { changes: 1 })
}

pub const LINSERT: Command = Command {
    name: "linsert",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::List,
    since: "2.2.0",
    complexity: "O(N) in the number of elements before the one looked for.",
    summary: "Puts an element before or behind the first one that is equal to another.",
    args: &[
        KEY,
        Arg::one_of("where", &[Arg::token("before", "BEFORE"), Arg::token("after", "AFTER")]),
        Arg::new("pivot", ArgKind::String),
        ELEMENT,
    ],
    handler: Handler::Shard(linsert),
    ..Command::EMPTY
};

fn linsert(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let behind = match args.get(2) {
        word if word.eq_ignore_ascii_case(b"before") => 0,
        word if word.eq_ignore_ascii_case(b"after") => 1,
        _ => return Err(CommandError::Syntax),
    };
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    let Some(&at) = list.positions(args.get(3), false, 0, 1, usize::MAX).first() else {
        cx.out.int(-1);
        return Ok(Effect::None);
    };
    list.insert(at + behind, args.get(4), &limits);
    let len = list.len();
    cx.ks.changed::<List>(key);
    cx.out.int(len as i64);
    Ok(Effect::AsSent { changes: 1 })
}

pub const LREM: Command = Command {
    name: "lrem",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::List,
    since: "1.0.0",
    complexity: "O(N) in the number of elements looked at.",
    summary: "Takes elements out that are equal to one: all, or so many from the front, or from the back.",
    args: &[KEY, Arg::new("count", ArgKind::Integer), ELEMENT],
    handler: Handler::Shard(lrem),
    ..Command::EMPTY
};

fn lrem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let count = integer(args, 2)?;
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    let at_most = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let removed = list.remove_equal(args.get(3), at_most, count < 0, &limits);
    if removed > 0 {
        cx.ks.changed::<List>(key);
    }
    cx.out.int(removed as i64);
    Ok(if removed > 0 { Effect::AsSent { changes: removed as u32 } } else { Effect::None })
}

pub const LTRIM: Command = Command {
    name: "ltrim",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::List,
    since: "1.0.0",
    complexity: "O(N) in the number of elements taken out.",
    summary: "Keeps the elements between two indexes, both included, and takes out all others.",
    args: &[KEY, Arg::new("start", ArgKind::Integer), Arg::new("stop", ArgKind::Integer)],
    handler: Handler::Shard(ltrim),
    ..Command::EMPTY
};

fn ltrim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (start, stop) = (integer(args, 2)?, integer(args, 3)?);
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else {
        cx.out.ok();
        return Ok(Effect::None);
    };
    let len = list.len();
    let (first, count) = span(start, stop, len);
    list.remove_range(first + count, len, &limits);
    list.remove_range(0, first, &limits);
    // As in Redis, those who watch it are told even where nothing goes.
    cx.ks.changed::<List>(key);
    cx.out.ok();
    let changes = (len - count) as u32;
    Ok(if changes > 0 { Effect::AsSent { changes } } else { Effect::None })
}
