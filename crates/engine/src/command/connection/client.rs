//! CLIENT and its subcommands. Key tracking (CLIENT TRACKING, CLIENT CACHING) is not there yet.

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};
use crate::command::server::help::help_row;

/// What an operator runs: also while loading, not from scripts.
const OPERATOR: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
/// What concerns one connection: also while loading, not from scripts.
const PERSONAL: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);

pub(super) const CLIENT: Command = Command {
    name: "client",
    arity: -2,
    group: Group::Connection,
    since: "2.4.0",
    complexity: "Depends on the subcommand.",
    summary: "Looks at and controls client connections.",
    subcommands: &[
        CLIENT_GETNAME,
        CLIENT_GETREDIR,
        CLIENT_HELP,
        CLIENT_ID,
        CLIENT_INFO,
        CLIENT_KILL,
        CLIENT_LIST,
        CLIENT_NO_EVICT,
        CLIENT_NO_TOUCH,
        CLIENT_PAUSE,
        CLIENT_REPLY,
        CLIENT_SETINFO,
        CLIENT_SETNAME,
        CLIENT_TRACKINGINFO,
        CLIENT_UNBLOCK,
        CLIENT_UNPAUSE,
    ],
    handler: Handler::Container,
    ..Command::EMPTY
};

const CLIENT_GETNAME: Command = Command {
    name: "getname",
    arity: 2,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "2.6.9",
    complexity: "O(1)",
    summary: "Returns the name of this connection.",
    handler: Handler::Server(ServerCommand::ClientGetname),
    ..Command::EMPTY
};

const CLIENT_GETREDIR: Command = Command {
    name: "getredir",
    arity: 2,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "6.0.0",
    complexity: "O(1)",
    summary: "Returns the id of the client that gets the invalidations of this one.",
    handler: Handler::Server(ServerCommand::ClientGetredir),
    ..Command::EMPTY
};

const CLIENT_HELP: Command = help_row(
    Group::Connection,
    Categories::CONNECTION,
    "5.0.0",
    "Lists the subcommands of CLIENT.",
    ServerCommand::ClientHelp,
);

const CLIENT_ID: Command = Command {
    name: "id",
    arity: 2,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Returns the id of this connection.",
    handler: Handler::Server(ServerCommand::ClientId),
    ..Command::EMPTY
};

const CLIENT_INFO: Command = Command {
    name: "info",
    arity: 2,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Describes this connection.",
    tips: &["nondeterministic_output"],
    handler: Handler::Server(ServerCommand::ClientInfo),
    ..Command::EMPTY
};

const CLIENT_KILL: Command = Command {
    name: "kill",
    arity: -3,
    flags: OPERATOR,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections.",
    summary: "Closes the connections that match.",
    history: &[
        ("2.8.12", "Filters instead of an address."),
        ("2.8.12", "The `ID` filter."),
        ("3.2.0", "The type `master`."),
        ("5.0.0", "The type `replica`; `slave` goes on working."),
        ("6.2.0", "The `LADDR` filter."),
        ("7.4.0", "The `MAXAGE` filter."),
    ],
    args: &[Arg::one_of(
        "filter",
        &[
            Arg::new("ip:port", ArgKind::String).deprecated("2.8.12"),
            Arg::one_of(
                "new-format",
                &[
                    Arg::new("client-id", ArgKind::Integer).with_token("ID").since("2.8.12").optional(),
                    Arg::one_of(
                        "normal_master_slave_pubsub",
                        &[
                            Arg::token("normal", "NORMAL"),
                            Arg::token("master", "MASTER").since("3.2.0"),
                            Arg::token("slave", "SLAVE"),
                            Arg::token("replica", "REPLICA").since("5.0.0"),
                            Arg::token("pubsub", "PUBSUB"),
                        ],
                    )
                    .with_token("TYPE")
                    .since("2.8.12")
                    .optional(),
                    Arg::new("username", ArgKind::String).with_token("USER").optional(),
                    Arg::new("ip:port", ArgKind::String).with_token("ADDR").optional(),
                    Arg::new("ip:port", ArgKind::String).with_token("LADDR").since("6.2.0").optional(),
                    Arg::new("yes/no", ArgKind::String).with_token("SKIPME").optional(),
                    Arg::new("maxage", ArgKind::Integer).with_token("MAXAGE").since("7.4.0").optional(),
                ],
            )
            .multiple(),
        ],
    )],
    handler: Handler::Server(ServerCommand::ClientKill),
    ..Command::EMPTY
};

const CLIENT_LIST: Command = Command {
    name: "list",
    arity: -2,
    flags: OPERATOR,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections.",
    summary: "Describes all connections.",
    history: &[
        ("2.8.12", "The field `id`."),
        ("5.0.0", "The `TYPE` filter."),
        ("6.0.0", "The field `user`."),
        ("6.2.0", "The fields `argv-mem`, `tot-mem`, `laddr` and `redir`, and the `ID` filter."),
        ("7.0.0", "The fields `resp`, `multi-mem`, `rbs` and `rbp`."),
        ("7.0.3", "The field `ssub`."),
        ("7.2.0", "The fields `lib-name` and `lib-ver`."),
    ],
    tips: &["nondeterministic_output"],
    args: &[
        Arg::one_of(
            "normal_master_replica_pubsub",
            &[
                Arg::token("normal", "NORMAL"),
                Arg::token("master", "MASTER"),
                Arg::token("replica", "REPLICA"),
                Arg::token("pubsub", "PUBSUB"),
            ],
        )
        .with_token("TYPE")
        .since("5.0.0")
        .optional(),
        Arg::block("id", &[Arg::new("client-id", ArgKind::Integer).multiple()])
            .with_token("ID")
            .since("6.2.0")
            .optional(),
    ],
    handler: Handler::Server(ServerCommand::ClientList),
    ..Command::EMPTY
};

const CLIENT_NO_EVICT: Command = Command {
    name: "no-evict",
    arity: 3,
    flags: OPERATOR,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "7.0.0",
    complexity: "O(1)",
    summary: "Keeps this connection from being evicted for its memory.",
    args: &[Arg::one_of("enabled", &[Arg::token("on", "ON"), Arg::token("off", "OFF")])],
    handler: Handler::Server(ServerCommand::ClientNoEvict),
    ..Command::EMPTY
};

const CLIENT_NO_TOUCH: Command = Command {
    name: "no-touch",
    arity: 3,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "7.2.0",
    complexity: "O(1)",
    summary: "Makes the commands of this connection leave no trace in LRU and LFU data.",
    args: &[Arg::one_of("enabled", &[Arg::token("on", "ON"), Arg::token("off", "OFF")])],
    handler: Handler::Server(ServerCommand::ClientNoTouch),
    ..Command::EMPTY
};

const CLIENT_PAUSE: Command = Command {
    name: "pause",
    arity: -3,
    flags: OPERATOR,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "2.9.50",
    complexity: "O(1)",
    summary: "Holds back clients' commands for a while.",
    history: &[("6.2.0", "The mode `WRITE`, which lets reads go on.")],
    args: &[
        Arg::new("timeout", ArgKind::Integer),
        Arg::one_of("mode", &[Arg::token("write", "WRITE"), Arg::token("all", "ALL")]).since("6.2.0").optional(),
    ],
    handler: Handler::Server(ServerCommand::ClientPause),
    ..Command::EMPTY
};

const CLIENT_REPLY: Command = Command {
    name: "reply",
    arity: 3,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "3.2.0",
    complexity: "O(1)",
    summary: "Says whether this connection wants replies.",
    args: &[Arg::one_of(
        "on_off_skip",
        &[Arg::token("on", "ON"), Arg::token("off", "OFF"), Arg::token("skip", "SKIP")],
    )],
    handler: Handler::Server(ServerCommand::ClientReply),
    ..Command::EMPTY
};

const CLIENT_SETINFO: Command = Command {
    name: "setinfo",
    arity: 4,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "7.2.0",
    complexity: "O(1)",
    summary: "Tells the server about the client library in use.",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::one_of(
        "attr",
        &[
            Arg::new("libname", ArgKind::String).with_token("LIB-NAME"),
            Arg::new("libver", ArgKind::String).with_token("LIB-VER"),
        ],
    )],
    handler: Handler::Server(ServerCommand::ClientSetinfo),
    ..Command::EMPTY
};

const CLIENT_SETNAME: Command = Command {
    name: "setname",
    arity: 3,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "2.6.9",
    complexity: "O(1)",
    summary: "Names this connection.",
    args: &[Arg::new("connection-name", ArgKind::String)],
    handler: Handler::Server(ServerCommand::ClientSetname),
    ..Command::EMPTY
};

const CLIENT_TRACKINGINFO: Command = Command {
    name: "trackinginfo",
    arity: 2,
    flags: PERSONAL,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Describes the key tracking of this connection.",
    handler: Handler::Server(ServerCommand::ClientTrackinginfo),
    ..Command::EMPTY
};

const CLIENT_UNBLOCK: Command = Command {
    name: "unblock",
    arity: -3,
    flags: OPERATOR,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "5.0.0",
    complexity: "O(log N) where N is the number of connections.",
    summary: "Wakes a client that waits in a blocking command.",
    args: &[
        Arg::new("client-id", ArgKind::Integer),
        Arg::one_of("timeout_error", &[Arg::token("timeout", "TIMEOUT"), Arg::token("error", "ERROR")]).optional(),
    ],
    handler: Handler::Server(ServerCommand::ClientUnblock),
    ..Command::EMPTY
};

const CLIENT_UNPAUSE: Command = Command {
    name: "unpause",
    arity: 2,
    flags: OPERATOR,
    categories: Categories::CONNECTION,
    group: Group::Connection,
    since: "6.2.0",
    complexity: "O(N) where N is the number of paused clients.",
    summary: "Lets paused clients go on.",
    handler: Handler::Server(ServerCommand::ClientUnpause),
    ..Command::EMPTY
};
