//! CONFIG and its subcommands.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};
use crate::command::server::help::help_row;

/// What an operator runs: also while loading, not from scripts.
const OPERATOR: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

pub(super) const CONFIG: Command = Command {
    name: "config",
    arity: -2,
    group: Group::Server,
    since: "2.0.0",
    complexity: "Depends on the subcommand.",
    summary: "Reads and changes the server's configuration.",
    subcommands: &[CONFIG_GET, CONFIG_HELP, CONFIG_RESETSTAT, CONFIG_REWRITE, CONFIG_SET],
    handler: Handler::Container,
    ..Command::EMPTY
};

const CONFIG_GET: Command = Command {
    name: "get",
    arity: -3,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.0.0",
    complexity: "O(N) where N is the number of directives.",
    summary: "Returns the directives that match, with their values.",
    history: &[("7.0.0", "Takes several patterns.")],
    args: &[Arg::block("parameter", &[Arg::new("parameter", ArgKind::String)]).multiple()],
    handler: Handler::Server(ServerCommand::ConfigGet),
    ..Command::EMPTY
};

const CONFIG_HELP: Command = help_row(
    Group::Server,
    Categories::empty(),
    "5.0.0",
    "Lists the subcommands of CONFIG.",
    ServerCommand::ConfigHelp,
);

const CONFIG_RESETSTAT: Command = Command {
    name: "resetstat",
    arity: 2,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Sets the server's counters back to zero.",
    handler: Handler::Server(ServerCommand::ConfigResetstat),
    ..Command::EMPTY
};

const CONFIG_REWRITE: Command = Command {
    name: "rewrite",
    arity: 2,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.8.0",
    complexity: "O(1)",
    summary: "Writes the configuration in use to the configuration file.",
    handler: Handler::Server(ServerCommand::ConfigRewrite),
    ..Command::EMPTY
};

const CONFIG_SET: Command = Command {
    name: "set",
    arity: -4,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.0.0",
    complexity: "O(N) where N is the number of directives.",
    summary: "Changes directives while the server runs.",
    history: &[("7.0.0", "Takes several directives.")],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::block(
        "parameter_value",
        &[Arg::new("parameter", ArgKind::String), Arg::new("value", ArgKind::String)],
    )
    .multiple()],
    handler: Handler::Server(ServerCommand::ConfigSet),
    ..Command::EMPTY
};
