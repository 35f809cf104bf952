//! DBSIZE, FLUSHALL, FLUSHDB and SWAPDB: commands on whole databases.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};

pub(super) const DBSIZE: Command = Command {
    name: "dbsize",
    arity: 1,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Counts the keys of the database.",
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    handler: Handler::Server(ServerCommand::Dbsize),
    ..Command::EMPTY
};

pub(super) const FLUSHALL: Command = Command {
    name: "flushall",
    arity: -1,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys in all databases.",
    summary: "Removes every key of every database.",
    history: &[("4.0.0", "The modifier `ASYNC`."), ("6.2.0", "The modifier `SYNC`.")],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: &[Arg::one_of(
        "async",
        &[Arg::token("async", "ASYNC").since("4.0.0"), Arg::token("sync", "SYNC").since("6.2.0")],
    )
    .optional()],
    handler: Handler::Server(ServerCommand::Flushall),
    ..Command::EMPTY
};

pub(super) const FLUSHDB: Command = Command {
    name: "flushdb",
    arity: -1,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys in the database.",
    summary: "Removes every key of the database.",
    history: &[("4.0.0", "The modifier `ASYNC`."), ("6.2.0", "The modifier `SYNC`.")],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: &[Arg::one_of(
        "async",
        &[Arg::token("async", "ASYNC").since("4.0.0"), Arg::token("sync", "SYNC").since("6.2.0")],
    )
    .optional()],
    handler: Handler::Server(ServerCommand::Flushdb),
    ..Command::EMPTY
};

pub(super) const SWAPDB: Command = Command {
    name: "swapdb",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    group: Group::Server,
    since: "4.0.0",
    complexity: "O(N) where N is the number of clients that watch keys of either.",
    summary: "Exchanges two databases.",
    args: &[Arg::new("index1", ArgKind::Integer), Arg::new("index2", ArgKind::Integer)],
    handler: Handler::Server(ServerCommand::Swapdb),
    ..Command::EMPTY
};
