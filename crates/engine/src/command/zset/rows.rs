//! The rows of ZRANGE, of its older forms, and of ZRANGESTORE; their handlers are in `range`.

use super::range::{zrange, zrangebylex, zrangebyscore, zrangestore, zrevrange, zrevrangebylex, zrevrangebyscore};
use super::range_pieces;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};

pub const ZRANGE: Command = Command {
    name: "zrange",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are returned.",
    summary: "Returns the members of a sorted set within a range of ranks, scores or bytes.",
    history: &[("6.2.0", "REV, BYSCORE, BYLEX and LIMIT.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("start", ArgKind::String),
        Arg::new("stop", ArgKind::String),
        Arg::one_of("sortby", &[Arg::token("byscore", "BYSCORE"), Arg::token("bylex", "BYLEX")])
            .optional()
            .since("6.2.0"),
        Arg::token("rev", "REV").optional().since("6.2.0"),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional()
            .since("6.2.0"),
        Arg::token("withscores", "WITHSCORES").optional(),
    ],
    handler: Handler::Shard(zrange),
    long: Some(range_pieces::ZRANGE),
    ..Command::EMPTY
};

pub const ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.8.9",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are returned.",
    summary: "Returns the members within a range of bytes, all scores being equal.",
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
    args: &[
        Arg::key("key", 0),
        Arg::new("min", ArgKind::String),
        Arg::new("max", ArgKind::String),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
    ],
    handler: Handler::Shard(zrangebylex),
    long: Some(range_pieces::ZRANGEBYLEX),
    ..Command::EMPTY
};

pub const ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "1.0.5",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are returned.",
    summary: "Returns the members with scores within a range.",
    history: &[("2.0.0", "WITHSCORES.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
    args: &[
        Arg::key("key", 0),
        Arg::new("min", ArgKind::Double),
        Arg::new("max", ArgKind::Double),
        Arg::token("withscores", "WITHSCORES").optional().since("2.0.0"),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
    ],
    handler: Handler::Shard(zrangebyscore),
    long: Some(range_pieces::ZRANGEBYSCORE),
    ..Command::EMPTY
};

pub const ZREVRANGE: Command = Command {
    name: "zrevrange",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are returned.",
    summary: "Returns the members within a range of ranks, the highest score first.",
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
    args: &[
        Arg::key("key", 0),
        Arg::new("start", ArgKind::Integer),
        Arg::new("stop", ArgKind::Integer),
        Arg::token("withscores", "WITHSCORES").optional(),
    ],
    handler: Handler::Shard(zrevrange),
    long: Some(range_pieces::ZREVRANGE),
    ..Command::EMPTY
};

pub const ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.8.9",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are returned.",
    summary: "Returns the members within a range of bytes, the last first, all scores being equal.",
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
    args: &[
        Arg::key("key", 0),
        Arg::new("max", ArgKind::String),
        Arg::new("min", ArgKind::String),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
    ],
    handler: Handler::Shard(zrevrangebylex),
    long: Some(range_pieces::ZREVRANGEBYLEX),
    ..Command::EMPTY
};

pub const ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are returned.",
    summary: "Returns the members with scores within a range, the highest first.",
    history: &[("2.1.6", "Bounds may be exclusive.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
    args: &[
        Arg::key("key", 0),
        Arg::new("max", ArgKind::Double),
        Arg::new("min", ArgKind::Double),
        Arg::token("withscores", "WITHSCORES").optional(),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
    ],
    handler: Handler::Shard(zrevrangebyscore),
    long: Some(range_pieces::ZREVRANGEBYSCORE),
    ..Command::EMPTY
};

pub const ZRANGESTORE: Command = Command {
    name: "zrangestore",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::SORTEDSET,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M how many are stored.",
    summary: "Stores the members of a sorted set within a range under a key.",
    args: &[
        Arg::key("dst", 0),
        Arg::key("src", 1),
        Arg::new("min", ArgKind::String),
        Arg::new("max", ArgKind::String),
        Arg::one_of("sortby", &[Arg::token("byscore", "BYSCORE"), Arg::token("bylex", "BYLEX")]).optional(),
        Arg::token("rev", "REV").optional(),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zrangestore),
    long: Some(range_pieces::ZRANGESTORE),
    ..Command::EMPTY
};
