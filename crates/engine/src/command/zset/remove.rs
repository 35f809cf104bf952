//! Members taken out: ZREM by name, ZREMRANGEBYRANK, ZREMRANGEBYSCORE and ZREMRANGEBYLEX by range.

use std::ops::Range;

use pinyon_resp::Args;
use pinyon_values::zset::ZSet;

use super::bounds::{Members, Scores, ranks};
use super::range_pieces;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub const ZREM: Command = Command {
    name: "zrem",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(M*log(N)) where N is the size of the sorted set and M the number of members given.",
    summary: "Takes members out of a sorted set.",
    history: &[("2.4.0", "Several members at once.")],
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(zrem),
    ..Command::EMPTY
};

fn zrem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let removed = match cx.ks.update::<ZSet>(key)? {
        Some(zset) => args.from(2).iter().filter(|member| zset.remove(member).is_some()).count(),
        None => 0,
    };
    if removed > 0 {
        cx.ks.changed_by::<ZSet>(key, "zrem");
    }
    cx.out.int(removed as i64);
    Ok(Effect::as_sent(removed))
}

pub const ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "2.0.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are taken out.",
    summary: "Takes out the members within a range of ranks.",
    args: &[Arg::key("key", 0), Arg::new("start", ArgKind::Integer), Arg::new("stop", ArgKind::Integer)],
    handler: Handler::Shard(zremrangebyrank),
    long: Some(range_pieces::ZREMRANGEBYRANK),
    ..Command::EMPTY
};

fn zremrangebyrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    ranks(args.get(2), args.get(3), 0)?;
    remove(cx, args, rank_range, "zremrangebyrank")
}

pub(super) fn rank_range(args: Args<'_>, zset: &ZSet) -> Result<Range<usize>, CommandError> {
    ranks(args.get(2), args.get(3), zset.len())
}

pub const ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are taken out.",
    summary: "Takes out the members with scores within a range.",
    args: &[Arg::key("key", 0), Arg::new("min", ArgKind::Double), Arg::new("max", ArgKind::Double)],
    handler: Handler::Shard(zremrangebyscore),
    long: Some(range_pieces::ZREMRANGEBYSCORE),
    ..Command::EMPTY
};

fn zremrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    Scores::parse(args.get(2), args.get(3))?;
    remove(cx, args, score_range, "zremrangebyscore")
}

pub(super) fn score_range(args: Args<'_>, zset: &ZSet) -> Result<Range<usize>, CommandError> {
    Ok(Scores::parse(args.get(2), args.get(3))?.ranks(zset))
}

pub const ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "2.8.9",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are taken out.",
    summary: "Takes out the members within a range of bytes, all scores being equal.",
    args: &[Arg::key("key", 0), Arg::new("min", ArgKind::String), Arg::new("max", ArgKind::String)],
    handler: Handler::Shard(zremrangebylex),
    long: Some(range_pieces::ZREMRANGEBYLEX),
    ..Command::EMPTY
};

fn zremrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    Members::parse(args.get(2), args.get(3))?;
    remove(cx, args, lex_range, "zremrangebylex")
}

pub(super) fn lex_range(args: Args<'_>, zset: &ZSet) -> Result<Range<usize>, CommandError> {
    Ok(Members::parse(args.get(2), args.get(3))?.ranks(zset, false))
}

fn remove(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    range: fn(Args<'_>, &ZSet) -> Result<Range<usize>, CommandError>,
    event: &'static str,
) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let removed = match cx.ks.update::<ZSet>(key)? {
        Some(zset) => {
            let range = range(args, zset)?;
            if !range.is_empty() {
                zset.remove_range(range.start, range.len(), &mut |_, _| {});
            }
            range.len()
        }
        None => 0,
    };
    if removed > 0 {
        cx.ks.changed_by::<ZSet>(key, event);
    }
    cx.out.int(removed as i64);
    Ok(Effect::as_sent(removed))
}
