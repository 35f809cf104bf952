//! LATENCY, SLOWLOG and MONITOR: what was slow, and what goes on.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};
use crate::command::server::help::help_row;

/// What an operator runs: also while loading, not from scripts.
const OPERATOR: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

pub(super) const LATENCY: Command = Command {
    name: "latency",
    arity: -2,
    group: Group::Server,
    since: "2.8.13",
    complexity: "Depends on the subcommand.",
    summary: "Examines where latency comes from.",
    subcommands: &[
        LATENCY_DOCTOR,
        LATENCY_GRAPH,
        LATENCY_HELP,
        LATENCY_HISTOGRAM,
        LATENCY_HISTORY,
        LATENCY_LATEST,
        LATENCY_RESET,
    ],
    handler: Handler::Container,
    ..Command::EMPTY
};

const LATENCY_DOCTOR: Command = Command {
    name: "doctor",
    arity: 2,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    summary: "Explains the recorded latency spikes in words.",
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    handler: Handler::Server(ServerCommand::LatencyDoctor),
    ..Command::EMPTY
};

const LATENCY_GRAPH: Command = Command {
    name: "graph",
    arity: 3,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    summary: "Draws the latency of an event as text.",
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    args: &[Arg::new("event", ArgKind::String)],
    handler: Handler::Server(ServerCommand::LatencyGraph),
    ..Command::EMPTY
};

const LATENCY_HELP: Command = help_row(
    Group::Server,
    Categories::empty(),
    "2.8.13",
    "Lists the subcommands of LATENCY.",
    ServerCommand::LatencyHelp,
);

const LATENCY_HISTOGRAM: Command = Command {
    name: "histogram",
    arity: -2,
    flags: OPERATOR,
    group: Group::Server,
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands with a histogram.",
    summary: "Returns how long commands took, as cumulative histograms.",
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    args: &[Arg::new("command", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::LatencyHistogram),
    ..Command::EMPTY
};

const LATENCY_HISTORY: Command = Command {
    name: "history",
    arity: 3,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    summary: "Returns the recorded spikes of an event with their times.",
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    args: &[Arg::new("event", ArgKind::String)],
    handler: Handler::Server(ServerCommand::LatencyHistory),
    ..Command::EMPTY
};

const LATENCY_LATEST: Command = Command {
    name: "latest",
    arity: 2,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    summary: "Returns the last and the worst spike of every event.",
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    handler: Handler::Server(ServerCommand::LatencyLatest),
    ..Command::EMPTY
};

const LATENCY_RESET: Command = Command {
    name: "reset",
    arity: -2,
    flags: OPERATOR,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    summary: "Forgets the recorded spikes of some events, or of all.",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::new("event", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::LatencyReset),
    ..Command::EMPTY
};

pub(super) const SLOWLOG: Command = Command {
    name: "slowlog",
    arity: -2,
    group: Group::Server,
    since: "2.2.12",
    complexity: "Depends on the subcommand.",
    summary: "Reads and clears the log of slow commands.",
    subcommands: &[SLOWLOG_GET, SLOWLOG_HELP, SLOWLOG_LEN, SLOWLOG_RESET],
    handler: Handler::Container,
    ..Command::EMPTY
};

const SLOWLOG_GET: Command = Command {
    name: "get",
    arity: -2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries returned.",
    summary: "Returns the latest entries of the slow log.",
    history: &[("4.0.0", "The client's address and name.")],
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    args: &[Arg::new("count", ArgKind::Integer).optional()],
    handler: Handler::Server(ServerCommand::SlowlogGet),
    ..Command::EMPTY
};

const SLOWLOG_HELP: Command = help_row(
    Group::Server,
    Categories::empty(),
    "6.2.0",
    "Lists the subcommands of SLOWLOG.",
    ServerCommand::SlowlogHelp,
);

const SLOWLOG_LEN: Command = Command {
    name: "len",
    arity: 2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.2.12",
    complexity: "O(1)",
    summary: "Counts the entries of the slow log.",
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    handler: Handler::Server(ServerCommand::SlowlogLen),
    ..Command::EMPTY
};

const SLOWLOG_RESET: Command = Command {
    name: "reset",
    arity: 2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries.",
    summary: "Empties the slow log.",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    handler: Handler::Server(ServerCommand::SlowlogReset),
    ..Command::EMPTY
};

pub(super) const MONITOR: Command = Command {
    name: "monitor",
    arity: 1,
    flags: OPERATOR,
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1) for each command that the server carries out.",
    summary: "Streams every command that the server carries out.",
    handler: Handler::Server(ServerCommand::Monitor),
    ..Command::EMPTY
};
