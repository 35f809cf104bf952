//! Rows of the cluster commands: what a client asks to learn which core owns which slots. The server carries them out; with
//! `core-ports no` it answers as a Redis that is no cluster node.
//!
//! What changes a cluster (ADDSLOTS, MEET, FAILOVER, …) has no rows: the slots of the cores are fixed.

use super::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};
use super::server::help::help_row;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[ASKING, CLUSTER, READONLY, READWRITE];

const CLUSTER: Command = Command {
    name: "cluster",
    arity: -2,
    group: Group::Cluster,
    since: "3.0.0",
    complexity: "Depends on the subcommand.",
    summary: "Tells which core owns which slots.",
    subcommands: &[
        COUNT_FAILURE_REPORTS,
        COUNTKEYSINSLOT,
        GETKEYSINSLOT,
        HELP,
        INFO,
        KEYSLOT,
        LINKS,
        MYID,
        NODES,
        REPLICAS,
        SHARDS,
        SLAVES,
        SLOTS,
    ],
    handler: Handler::Container,
    ..Command::EMPTY
};

/// What the subcommands share that only look.
const LOOK: Command = Command { flags: Flags::STALE, group: Group::Cluster, since: "3.0.0", ..Command::EMPTY };

/// What the subcommands share that ask about one node.
const ABOUT_NODE: Command = Command {
    arity: 3,
    flags: Flags::ADMIN.union(Flags::STALE),
    tips: &["nondeterministic_output"],
    args: &[Arg::new("node-id", ArgKind::String)],
    ..LOOK
};

const COUNT_FAILURE_REPORTS: Command = Command {
    name: "count-failure-reports",
    complexity: "O(1)",
    summary: "Counts the nodes that hold a node for failed: none ever does.",
    handler: Handler::Server(ServerCommand::ClusterCountFailureReports),
    ..ABOUT_NODE
};

const COUNTKEYSINSLOT: Command = Command {
    name: "countkeysinslot",
    arity: 3,
    complexity: "O(N) where N is the number of keys of the core that owns the slot.",
    summary: "Counts the keys of a slot.",
    args: &[Arg::new("slot", ArgKind::Integer)],
    handler: Handler::Server(ServerCommand::ClusterCountkeysinslot),
    ..LOOK
};

const GETKEYSINSLOT: Command = Command {
    name: "getkeysinslot",
    arity: 4,
    complexity: "O(N) where N is the number of keys of the core that owns the slot.",
    summary: "Returns keys of a slot.",
    tips: &["nondeterministic_output"],
    args: &[Arg::new("slot", ArgKind::Integer), Arg::new("count", ArgKind::Integer)],
    handler: Handler::Server(ServerCommand::ClusterGetkeysinslot),
    ..LOOK
};

const HELP: Command = help_row(
    Group::Cluster,
    Categories::empty(),
    "5.0.0",
    "Lists the subcommands of CLUSTER.",
    ServerCommand::ClusterHelp,
);

const INFO: Command = Command {
    name: "info",
    arity: 2,
    complexity: "O(1)",
    summary: "Returns the state of the cluster as text.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::ClusterInfo),
    ..LOOK
};

const KEYSLOT: Command = Command {
    name: "keyslot",
    arity: 3,
    complexity: "O(N) where N is the length of the key.",
    summary: "Returns the slot of a key.",
    args: &[Arg::new("key", ArgKind::String)],
    handler: Handler::Server(ServerCommand::ClusterKeyslot),
    ..LOOK
};

const LINKS: Command = Command {
    name: "links",
    arity: 2,
    since: "7.0.0",
    complexity: "O(1)",
    summary: "Lists the connections between nodes: cores need none.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::ClusterLinks),
    ..LOOK
};

const MYID: Command = Command {
    name: "myid",
    arity: 2,
    complexity: "O(1)",
    summary: "Returns the id of the core that serves the connection.",
    handler: Handler::Server(ServerCommand::ClusterMyid),
    ..LOOK
};

const NODES: Command = Command {
    name: "nodes",
    arity: 2,
    complexity: "O(N) where N is the number of cores.",
    summary: "Describes all cores as cluster nodes, one a line.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::ClusterNodes),
    ..LOOK
};

const REPLICAS: Command = Command {
    name: "replicas",
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Lists the replicas of a node: cores have none.",
    handler: Handler::Server(ServerCommand::ClusterReplicas),
    ..ABOUT_NODE
};

const SHARDS: Command = Command {
    name: "shards",
    arity: 2,
    since: "7.0.0",
    complexity: "O(N) where N is the number of cores.",
    summary: "Returns which core owns which slots, with the state of each.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::ClusterShards),
    ..LOOK
};

const SLAVES: Command = Command {
    name: "slaves",
    complexity: "O(1)",
    summary: "Lists the replicas of a node: cores have none.",
    deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
    handler: Handler::Server(ServerCommand::ClusterReplicas),
    ..ABOUT_NODE
};

const SLOTS: Command = Command {
    name: "slots",
    arity: 2,
    complexity: "O(N) where N is the number of cores.",
    summary: "Returns which core owns which slots.",
    history: &[("4.0.0", "The nodes' ids."), ("7.0.0", "Further names and addresses of each node.")],
    tips: &["nondeterministic_output"],
    deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
    handler: Handler::Server(ServerCommand::ClusterSlots),
    ..LOOK
};

/// What the commands share that concern the connection.
const CONNECTION: Command = Command {
    arity: 1,
    categories: Categories::CONNECTION,
    group: Group::Cluster,
    since: "3.0.0",
    complexity: "O(1)",
    ..Command::EMPTY
};

const ASKING: Command = Command {
    name: "asking",
    flags: Flags::FAST,
    summary: "Announces a command that was redirected by ASK: no core redirects so.",
    handler: Handler::Server(ServerCommand::Asking),
    ..CONNECTION
};

const READONLY: Command = Command {
    name: "readonly",
    flags: Flags::FAST.union(Flags::LOADING).union(Flags::STALE),
    summary: "Lets the connection read from replicas: there are none.",
    handler: Handler::Server(ServerCommand::Readonly),
    ..CONNECTION
};

const READWRITE: Command = Command {
    name: "readwrite",
    flags: Flags::FAST.union(Flags::LOADING).union(Flags::STALE),
    summary: "Takes back READONLY.",
    handler: Handler::Server(ServerCommand::Readwrite),
    ..CONNECTION
};
