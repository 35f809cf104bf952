//! Elements changed where they are: LSET, LINSERT, LREM, LTRIM.

use pinyon_resp::Args;
use pinyon_values::list::List;

use super::{ELEMENT, INDEX, KEY, integer, pieces, place, span};
use crate::command::long::{self, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Key;
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
    cx.ks.changed_by::<List>(key, "lset");
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
    long: Some(Long { is: long::is_first_big, work: pieces::linsert }),
    ..Command::EMPTY
};

fn linsert(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let side = Side::parse(args.get(2))?;
    let key = cx.ks.key(args, 1);
    let pivot = cx.ks.peek_as::<List>(key)?.map(|list| list.positions(args.get(3), false, 0, 1, usize::MAX));
    insert_beside(cx, args, side, pivot.and_then(|places| places.first().copied()))
}

/// The side of another element on which LINSERT puts one.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Before,
    After,
}

impl Side {
    pub(super) fn parse(word: &[u8]) -> Result<Side, CommandError> {
        match word {
            _ if word.eq_ignore_ascii_case(b"before") => Ok(Side::Before),
            _ if word.eq_ignore_ascii_case(b"after") => Ok(Side::After),
            _ => Err(CommandError::Syntax),
        }
    }
}

/// Puts LINSERT's element beside the one at `pivot`, the place of the one looked for if it is there, and replies.
pub(super) fn insert_beside(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    side: Side,
    pivot: Option<usize>,
) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    let Some(pivot) = pivot else {
        cx.out.int(-1);
        return Ok(Effect::None);
    };
    list.insert(pivot + usize::from(matches!(side, Side::After)), args.get(4), &limits);
    let len = list.len();
    cx.ks.changed_by::<List>(key, "linsert");
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
    long: Some(Long { is: long::is_first_big, work: pieces::lrem }),
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
    let removed = list.remove_equal(args.get(3), at_most(count), count < 0, &limits);
    Ok(removed_equal(cx, key, removed))
}

/// How many elements LREM takes out at most.
pub(super) fn at_most(count: i64) -> usize {
    if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) }
}

/// LREM has taken so many elements out: sees to what follows, and replies.
pub(super) fn removed_equal(cx: &mut Cx<'_>, key: Key<'_>, removed: usize) -> Effect {
    if removed > 0 {
        cx.ks.changed_by::<List>(key, "lrem");
    }
    cx.out.int(removed as i64);
    if removed > 0 { Effect::AsSent { changes: removed as u32 } } else { Effect::None }
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
    long: Some(Long { is: pieces::trims_much, work: pieces::ltrim }),
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
    Ok(trimmed(cx, key, len - count))
}

/// LTRIM has taken so many elements out: sees to what follows, and replies.
pub(super) fn trimmed(cx: &mut Cx<'_>, key: Key<'_>, removed: usize) -> Effect {
    // As in Redis, those who watch it are told even where nothing goes.
    cx.ks.changed_by::<List>(key, "ltrim");
    cx.out.ok();
    let changes = removed as u32;
    if changes > 0 { Effect::AsSent { changes } } else { Effect::None }
}
