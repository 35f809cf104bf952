//! COMMAND and its subcommands.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};
use crate::command::server::help::help_row;

pub(super) const COMMAND: Command = Command {
    name: "command",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands.",
    summary: "Describes all commands.",
    tips: &["nondeterministic_output_order"],
    subcommands: &[
        COMMAND_COUNT,
        COMMAND_DOCS,
        COMMAND_GETKEYS,
        COMMAND_GETKEYSANDFLAGS,
        COMMAND_HELP,
        COMMAND_INFO,
        COMMAND_LIST,
    ],
    handler: Handler::Server(ServerCommand::Command),
    ..Command::EMPTY
};

const COMMAND_COUNT: Command = Command {
    name: "count",
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    summary: "Counts the commands.",
    handler: Handler::Server(ServerCommand::CommandCount),
    ..Command::EMPTY
};

const COMMAND_DOCS: Command = Command {
    name: "docs",
    arity: -2,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands asked for.",
    summary: "Returns the documentation of commands.",
    tips: &["nondeterministic_output_order"],
    args: &[Arg::new("command-name", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::CommandDocs),
    ..Command::EMPTY
};

const COMMAND_GETKEYS: Command = Command {
    name: "getkeys",
    arity: -4,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(N) where N is the number of arguments.",
    summary: "Finds the keys in a full command line.",
    handler: Handler::Server(ServerCommand::CommandGetkeys),
    ..Command::EMPTY
};

const COMMAND_GETKEYSANDFLAGS: Command = Command {
    name: "getkeysandflags",
    arity: -4,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "7.0.0",
    complexity: "O(N) where N is the number of arguments.",
    summary: "Finds the keys in a full command line and says what is done to each.",
    handler: Handler::Server(ServerCommand::CommandGetkeysandflags),
    ..Command::EMPTY
};

const COMMAND_HELP: Command = help_row(
    Group::Server,
    Categories::CONNECTION,
    "5.0.0",
    "Lists the subcommands of COMMAND.",
    ServerCommand::CommandHelp,
);

const COMMAND_INFO: Command = Command {
    name: "info",
    arity: -2,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands asked for.",
    summary: "Describes the named commands, or all of them.",
    history: &[("7.0.0", "No names at all means all commands.")],
    tips: &["nondeterministic_output_order"],
    args: &[Arg::new("command-name", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::CommandInfo),
    ..Command::EMPTY
};

const COMMAND_LIST: Command = Command {
    name: "list",
    arity: -2,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    group: Group::Server,
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands.",
    summary: "Lists the names of commands.",
    tips: &["nondeterministic_output_order"],
    args: &[Arg::one_of(
        "filterby",
        &[
            Arg::new("module-name", ArgKind::String).with_token("MODULE"),
            Arg::new("category", ArgKind::String).with_token("ACLCAT"),
            Arg::new("pattern", ArgKind::Pattern).with_token("PATTERN"),
        ],
    )
    .with_token("FILTERBY")
    .optional()],
    handler: Handler::Server(ServerCommand::CommandList),
    ..Command::EMPTY
};
