//! Rows of the commands that save.

use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, ServerCommand};

const SAVES: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING);

pub(super) const BGREWRITEAOF: Command = Command {
    name: "bgrewriteaof",
    arity: 1,
    flags: SAVES,
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Begins to replace the log by a snapshot, in the background.",
    handler: Handler::Server(ServerCommand::Bgrewriteaof),
    ..Command::EMPTY
};

pub(super) const BGSAVE: Command = Command {
    name: "bgsave",
    arity: -1,
    flags: SAVES,
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Begins to save all databases, in the background.",
    history: &[("3.2.2", "The option `SCHEDULE`.")],
    args: &[Arg::token("schedule", "SCHEDULE").since("3.2.2").optional()],
    handler: Handler::Server(ServerCommand::Bgsave),
    ..Command::EMPTY
};

pub(super) const LASTSAVE: Command = Command {
    name: "lastsave",
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::ADMIN.union(Categories::DANGEROUS),
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns when the databases were last saved.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::Lastsave),
    ..Command::EMPTY
};

pub(super) const SAVE: Command = Command {
    name: "save",
    arity: 1,
    flags: SAVES.union(Flags::NO_MULTI),
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys.",
    summary: "Saves all databases and replies when that is done.",
    handler: Handler::Server(ServerCommand::Save),
    ..Command::EMPTY
};
