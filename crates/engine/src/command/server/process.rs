//! INFO, DEBUG, LOLWUT, SHUTDOWN and TIME: commands on the server as a process.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};

pub(super) const INFO: Command = Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::DANGEROUS,
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Reports the server's state and counters.",
    history: &[("7.0.0", "Takes several sections.")],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    args: &[Arg::new("section", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::Info),
    ..Command::EMPTY
};

pub(super) const DEBUG: Command = Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::SUBCOMMAND_SYSCMD),
    group: Group::Server,
    since: "1.0.0",
    complexity: "Depends on the subcommand.",
    summary: "Helps to test and examine the server.",
    handler: Handler::Server(ServerCommand::Debug),
    ..Command::EMPTY
};

pub(super) const LOLWUT: Command = Command {
    name: "lolwut",
    arity: -1,
    flags: Flags::READONLY.union(Flags::FAST),
    group: Group::Server,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Shows a piece of computer art and the server's version.",
    args: &[Arg::new("version", ArgKind::Integer).with_token("VERSION").optional()],
    handler: Handler::Server(ServerCommand::Lolwut),
    ..Command::EMPTY
};

pub(super) const WAITAOF: Command = Command {
    name: "waitaof",
    arity: 4,
    flags: Flags::BLOCKING,
    categories: Categories::CONNECTION,
    group: Group::Generic,
    since: "7.2.0",
    complexity: "O(1)",
    summary: "Waits until the client's earlier writes are on the disk, here and on replicas.",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    args: &[
        Arg::new("numlocal", ArgKind::Integer),
        Arg::new("numreplicas", ArgKind::Integer),
        Arg::new("timeout", ArgKind::Integer),
    ],
    handler: Handler::Server(ServerCommand::Waitaof),
    ..Command::EMPTY
};

pub(super) const SHUTDOWN: Command = Command {
    name: "shutdown",
    arity: -1,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::NO_MULTI)
        .union(Flags::ALLOW_BUSY),
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys when it saves, else O(1).",
    summary: "Saves if so configured and stops the server.",
    history: &[("7.0.0", "The modifiers `NOW`, `FORCE` and `ABORT`.")],
    args: &[
        Arg::one_of("nosave_save", &[Arg::token("nosave", "NOSAVE"), Arg::token("save", "SAVE")]).optional(),
        Arg::token("now", "NOW").since("7.0.0").optional(),
        Arg::token("force", "FORCE").since("7.0.0").optional(),
        Arg::token("abort", "ABORT").since("7.0.0").optional(),
    ],
    handler: Handler::Server(ServerCommand::Shutdown),
    ..Command::EMPTY
};

pub(super) const TIME: Command = Command {
    name: "time",
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    group: Group::Server,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Returns the server's clock.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::Time),
    ..Command::EMPTY
};
