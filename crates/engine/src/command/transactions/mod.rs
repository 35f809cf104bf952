//! Rows of MULTI, EXEC, DISCARD, WATCH and UNWATCH. The server carries them out: it keeps the queue of commands of a
//! connection and coordinates the shards; what a shard has to do with it is in `crate::transaction`.

use super::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};

/// What all of them but EXEC have.
const FLAGS: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::ALLOW_BUSY);

/// The rows of this group.
pub const COMMANDS: &[Command] = &[DISCARD, EXEC, MULTI, UNWATCH, WATCH];

const DISCARD: Command = Command {
    name: "discard",
    arity: 1,
    flags: FLAGS,
    categories: Categories::TRANSACTION,
    group: Group::Transactions,
    since: "2.0.0",
    complexity: "O(N) in the number of commands queued.",
    summary: "Forgets the commands queued since MULTI, and all watched keys.",
    handler: Handler::Server(ServerCommand::Discard),
    ..Command::EMPTY
};

const EXEC: Command = Command {
    name: "exec",
    arity: 1,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::SKIP_SLOWLOG),
    categories: Categories::TRANSACTION,
    group: Group::Transactions,
    since: "1.2.0",
    complexity: "Depends on the commands queued.",
    summary: "Runs the commands queued since MULTI as one, unless a watched key has changed.",
    handler: Handler::Server(ServerCommand::Exec),
    ..Command::EMPTY
};

const MULTI: Command = Command {
    name: "multi",
    arity: 1,
    flags: FLAGS,
    categories: Categories::TRANSACTION,
    group: Group::Transactions,
    since: "1.2.0",
    complexity: "O(1)",
    summary: "Begins a transaction: the commands that follow are queued until EXEC.",
    handler: Handler::Server(ServerCommand::Multi),
    ..Command::EMPTY
};

const UNWATCH: Command = Command {
    name: "unwatch",
    arity: 1,
    flags: FLAGS,
    categories: Categories::TRANSACTION,
    group: Group::Transactions,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Forgets all watched keys.",
    handler: Handler::Server(ServerCommand::Unwatch),
    ..Command::EMPTY
};

const WATCH: Command = Command {
    name: "watch",
    arity: -2,
    flags: FLAGS,
    categories: Categories::TRANSACTION,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    group: Group::Transactions,
    since: "2.2.0",
    complexity: "O(1) for every key.",
    summary: "Makes the next EXEC depend on keys: it runs nothing if one of them has changed by then.",
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Server(ServerCommand::Watch),
    ..Command::EMPTY
};
