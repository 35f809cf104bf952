//! AUTH, ECHO, HELLO, PING, QUIT, RESET and SELECT.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};

/// Allowed before authentication, and whatever state the server is in.
const HANDSHAKE: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

pub(super) const AUTH: Command = Command {
    name: "auth",
    arity: -2,
    flags: HANDSHAKE,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "1.0.0",
    complexity: "O(N) where N is the number of the user's passwords.",
    summary: "Authenticates the connection.",
    history: &[("6.0.0", "A user name may come before the password.")],
    args: &[Arg::new("username", ArgKind::String).since("6.0.0").optional(), Arg::new("password", ArgKind::String)],
    handler: Handler::Server(ServerCommand::Auth),
    ..Command::EMPTY
};

pub(super) const ECHO: Command = Command {
    name: "echo",
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns the message it was sent.",
    args: &[Arg::new("message", ArgKind::String)],
    handler: Handler::Server(ServerCommand::Echo),
    ..Command::EMPTY
};

pub(super) const HELLO: Command = Command {
    name: "hello",
    arity: -1,
    flags: HANDSHAKE,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "6.0.0",
    complexity: "O(1)",
    summary: "Chooses the protocol version and describes the server, with optional login.",
    history: &[("6.2.0", "The version may be left out, which changes nothing and only describes the connection.")],
    args: &[Arg::block(
        "arguments",
        &[
            Arg::new("protover", ArgKind::Integer),
            Arg::block(
                "username_password",
                &[Arg::new("username", ArgKind::String), Arg::new("password", ArgKind::String)],
            )
            .with_token("AUTH")
            .optional(),
            Arg::new("clientname", ArgKind::String).with_token("SETNAME").optional(),
        ],
    )
    .optional()],
    handler: Handler::Server(ServerCommand::Hello),
    ..Command::EMPTY
};

pub(super) const PING: Command = Command {
    name: "ping",
    arity: -1,
    flags: Flags::FAST,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Checks that the server answers, or returns the given message.",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: &[Arg::new("message", ArgKind::String).optional()],
    handler: Handler::Server(ServerCommand::Ping),
    ..Command::EMPTY
};

pub(super) const QUIT: Command = Command {
    name: "quit",
    arity: -1,
    flags: HANDSHAKE,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Closes the connection after a last reply.",
    handler: Handler::Server(ServerCommand::Quit),
    ..Command::EMPTY
};

pub(super) const RESET: Command = Command {
    name: "reset",
    arity: 1,
    flags: HANDSHAKE,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Puts the connection back into its first state.",
    handler: Handler::Server(ServerCommand::Reset),
    ..Command::EMPTY
};

pub(super) const SELECT: Command = Command {
    name: "select",
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Chooses the database of this connection.",
    args: &[Arg::new("index", ArgKind::Integer)],
    handler: Handler::Server(ServerCommand::Select),
    ..Command::EMPTY
};
