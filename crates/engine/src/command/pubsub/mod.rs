//! Rows of publish and subscribe. The server carries them out: who listens to what belongs to connections, and no key has
//! to do with it.

use super::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};
use super::server::help::help_row;

/// The rows of this group.
pub const COMMANDS: &[Command] =
    &[PSUBSCRIBE, PUBLISH, PUBSUB, PUNSUBSCRIBE, SPUBLISH, SSUBSCRIBE, SUBSCRIBE, SUNSUBSCRIBE, UNSUBSCRIBE];

/// What those share that change what a connection listens to.
const LISTEN: Command = Command {
    flags: Flags::PUBSUB.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Pubsub,
    since: "2.0.0",
    ..Command::EMPTY
};

/// What PUBLISH and SPUBLISH share. A replica would be told of them.
const SAY: Command = Command {
    arity: 3,
    flags: Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::MAY_REPLICATE),
    group: Group::Pubsub,
    ..Command::EMPTY
};

/// What the subcommands of PUBSUB share that only look.
const LOOK: Command = Command {
    arity: -2,
    flags: Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE),
    group: Group::Pubsub,
    since: "2.8.0",
    ..Command::EMPTY
};

/// A shard channel belongs to a slot as a key does.
const fn channels(last: i32) -> KeySpec {
    KeySpec::range(1, last, 1, KeyFlags::NOT_KEY)
}

const PSUBSCRIBE: Command = Command {
    name: "psubscribe",
    arity: -2,
    complexity: "O(N) in the number of patterns of the connection.",
    summary: "Listens to all channels whose name matches one of the patterns.",
    args: &[Arg::block("pattern", &[Arg::new("pattern", ArgKind::Pattern)]).multiple()],
    handler: Handler::Server(ServerCommand::Psubscribe),
    ..LISTEN
};

const PUBLISH: Command = Command {
    name: "publish",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of the channel's subscribers and M that of all patterns of all connections.",
    summary: "Sends a message to all who listen to a channel.",
    args: &[Arg::new("channel", ArgKind::String), Arg::new("message", ArgKind::String)],
    handler: Handler::Server(ServerCommand::Publish),
    ..SAY
};

const PUNSUBSCRIBE: Command = Command {
    name: "punsubscribe",
    arity: -1,
    complexity: "O(N) in the number of patterns given up.",
    summary: "Listens no longer to the channels of these patterns, or of any.",
    args: &[Arg::new("pattern", ArgKind::Pattern).optional().multiple()],
    handler: Handler::Server(ServerCommand::Punsubscribe),
    ..LISTEN
};

const SPUBLISH: Command = Command {
    name: "spublish",
    keys: &[channels(0)],
    since: "7.0.0",
    complexity: "O(N) in the number of the channel's subscribers.",
    summary: "Sends a message to all who listen to a shard channel.",
    args: &[Arg::new("shardchannel", ArgKind::String), Arg::new("message", ArgKind::String)],
    handler: Handler::Server(ServerCommand::Spublish),
    ..SAY
};

const SSUBSCRIBE: Command = Command {
    name: "ssubscribe",
    arity: -2,
    keys: &[channels(-1)],
    since: "7.0.0",
    complexity: "O(N) in the number of channels.",
    summary: "Listens to shard channels.",
    args: &[Arg::new("shardchannel", ArgKind::String).multiple()],
    handler: Handler::Server(ServerCommand::Ssubscribe),
    ..LISTEN
};

const SUBSCRIBE: Command = Command {
    name: "subscribe",
    arity: -2,
    complexity: "O(N) in the number of channels.",
    summary: "Listens to channels.",
    args: &[Arg::new("channel", ArgKind::String).multiple()],
    handler: Handler::Server(ServerCommand::Subscribe),
    ..LISTEN
};

const SUNSUBSCRIBE: Command = Command {
    name: "sunsubscribe",
    arity: -1,
    keys: &[channels(-1)],
    since: "7.0.0",
    complexity: "O(N) in the number of channels.",
    summary: "Listens no longer to these shard channels, or to any.",
    args: &[Arg::new("shardchannel", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::Sunsubscribe),
    ..LISTEN
};

const UNSUBSCRIBE: Command = Command {
    name: "unsubscribe",
    arity: -1,
    complexity: "O(N) in the number of channels.",
    summary: "Listens no longer to these channels, or to any.",
    args: &[Arg::new("channel", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::Unsubscribe),
    ..LISTEN
};

const PUBSUB: Command = Command {
    name: "pubsub",
    arity: -2,
    group: Group::Pubsub,
    since: "2.8.0",
    complexity: "Depends on the subcommand.",
    summary: "Tells who listens to what.",
    subcommands: &[CHANNELS, HELP, NUMPAT, NUMSUB, SHARDCHANNELS, SHARDNUMSUB],
    handler: Handler::Container,
    ..Command::EMPTY
};

const CHANNELS: Command = Command {
    name: "channels",
    complexity: "O(N) in the number of channels that somebody listens to.",
    summary: "Lists the channels that somebody has subscribed to.",
    args: &[Arg::new("pattern", ArgKind::Pattern).optional()],
    handler: Handler::Server(ServerCommand::PubsubChannels),
    ..LOOK
};

const HELP: Command = help_row(
    Group::Pubsub,
    Categories::empty(),
    "6.2.0",
    "Shows what the subcommands of PUBSUB do.",
    ServerCommand::PubsubHelp,
);

const NUMPAT: Command = Command {
    name: "numpat",
    arity: 2,
    complexity: "O(N) in the number of patterns.",
    summary: "Counts the patterns that somebody has subscribed to.",
    handler: Handler::Server(ServerCommand::PubsubNumpat),
    ..LOOK
};

const NUMSUB: Command = Command {
    name: "numsub",
    complexity: "O(N) in the number of channels asked about.",
    summary: "Counts the subscribers of channels.",
    args: &[Arg::new("channel", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::PubsubNumsub),
    ..LOOK
};

const SHARDCHANNELS: Command = Command {
    name: "shardchannels",
    since: "7.0.0",
    complexity: "O(N) in the number of shard channels that somebody listens to.",
    summary: "Lists the shard channels that somebody has subscribed to.",
    args: &[Arg::new("pattern", ArgKind::Pattern).optional()],
    handler: Handler::Server(ServerCommand::PubsubShardchannels),
    ..LOOK
};

const SHARDNUMSUB: Command = Command {
    name: "shardnumsub",
    since: "7.0.0",
    complexity: "O(N) in the number of channels asked about.",
    summary: "Counts the subscribers of shard channels.",
    args: &[Arg::new("shardchannel", ArgKind::String).optional().multiple()],
    handler: Handler::Server(ServerCommand::PubsubShardnumsub),
    ..LOOK
};
