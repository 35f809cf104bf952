//! Scores and ranks of members: ZSCORE, ZMSCORE, ZRANK, ZREVRANK; and how many there are: ZCARD.

use pinyon_resp::Args;
use pinyon_values::zset::ZSet;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub const ZCARD: Command = Command {
    name: "zcard",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(1)",
    summary: "Returns how many members a sorted set has.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(zcard),
    ..Command::EMPTY
};

fn zcard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let members = cx.ks.read_as::<ZSet>(key)?.map_or(0, ZSet::len);
    cx.out.int(members as i64);
    Ok(Effect::None)
}

pub const ZSCORE: Command = Command {
    name: "zscore",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(1)",
    summary: "Returns the score of a member.",
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String)],
    handler: Handler::Shard(zscore),
    ..Command::EMPTY
};

fn zscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read_as::<ZSet>(key)?.and_then(|zset| zset.score(args.get(2))) {
        Some(score) => cx.out.double(score),
        None => cx.out.null(),
    }
    Ok(Effect::None)
}

pub const ZMSCORE: Command = Command {
    name: "zmscore",
    arity: -3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(N) where N is the number of members asked about.",
    summary: "Returns the scores of several members.",
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(zmscore),
    ..Command::EMPTY
};

fn zmscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let zset = cx.ks.read_as::<ZSet>(key)?;
    cx.out.array(args.len() - 2);
    for member in args.from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => cx.out.double(score),
            None => cx.out.null(),
        }
    }
    Ok(Effect::None)
}

pub const ZRANK: Command = Command {
    name: "zrank",
    arity: -3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.0.0",
    complexity: "O(log(N))",
    summary: "Returns the place of a member in the order of ascending scores.",
    history: &[("7.2.0", "WITHSCORE.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("member", ArgKind::String),
        Arg::token("withscore", "WITHSCORE").optional().since("7.2.0"),
    ],
    handler: Handler::Shard(zrank),
    ..Command::EMPTY
};

fn zrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    rank(cx, args, false, "zrank")
}

pub const ZREVRANK: Command = Command {
    name: "zrevrank",
    arity: -3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.0.0",
    complexity: "O(log(N))",
    summary: "Returns the place of a member in the order of descending scores.",
    history: &[("7.2.0", "WITHSCORE.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("member", ArgKind::String),
        Arg::token("withscore", "WITHSCORE").optional().since("7.2.0"),
    ],
    handler: Handler::Shard(zrevrank),
    ..Command::EMPTY
};

fn zrevrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    rank(cx, args, true, "zrevrank")
}

fn rank(cx: &mut Cx<'_>, args: Args<'_>, reverse: bool, name: &'static str) -> Result<Effect, CommandError> {
    let with_score = args.len() > 3;
    // Redis 7.0 knows no option; what it says of others is said here, too.
    if with_score && (args.len() > 4 || !args.get(3).eq_ignore_ascii_case(b"withscore")) {
        return Err(CommandError::WrongArity(name.into()));
    }
    let key = cx.ks.key(args, 1);
    let found = cx.ks.read_as::<ZSet>(key)?.and_then(|zset| {
        let (rank, score) = zset.rank(args.get(2))?;
        Some((if reverse { zset.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            cx.out.array(2);
            cx.out.int(rank as i64);
            cx.out.double(score);
        }
        Some((rank, _)) => cx.out.int(rank as i64),
        None if with_score => cx.out.null_array(),
        None => cx.out.null(),
    }
    Ok(Effect::None)
}
