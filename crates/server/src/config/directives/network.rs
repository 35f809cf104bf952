//! Where the server listens, and how connections are treated.

use super::{INT, Section, UINT};
use crate::config::directive::Directive;
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking;
use crate::config::field::field;
use crate::config::lists::BIND;
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Network",
    intro: "Where the server listens. Every core listens on every address, and the kernel spreads connections over \
            the cores.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new(
        "bind",
        Kind::List(&BIND),
        "* -::*",
        field!(bind),
        "The addresses to listen on. The default is every address of this machine, which protected-mode guards. An \
         address with a - before it is left out on machines that lack it; any other missing address stops the start.",
    ),
    Directive::new(
        "port",
        Kind::Int(0, 65535),
        "6379",
        field!(port),
        "The TCP port. 0 listens on no TCP port at all: then unixsocket must be set.",
    ),
    Directive::new(
        "unixsocket",
        Kind::Text,
        "\"\"",
        field!(unixsocket),
        "The path of a unix socket to listen on, beside TCP. Connections are dealt to the cores in turn.",
    )
    .at_start(),
    Directive::new(
        "unixsocketperm",
        Kind::Octal(0, 0o777),
        "0",
        field!(unixsocketperm),
        "The mode of the unix socket, such as 770. 0 leaves what the process's umask gives.",
    )
    .at_start(),
    Directive::new(
        "tcp-backlog",
        Kind::Int(0, INT),
        "511",
        field!(tcp_backlog),
        "Connections that may wait to be accepted, per core and address. The kernel cuts it to net.core.somaxconn.",
    )
    .at_start(),
    Directive::new(
        "protected-mode",
        Kind::Bool,
        "yes",
        field!(protected_mode),
        "While there is no password, refuse clients from other machines. They are told what to do about it.",
    ),
    Directive::new(
        "timeout",
        Kind::Int(0, INT),
        "0",
        field!(timeout),
        "Close connections that have sent nothing for so many seconds. 0 keeps them.",
    ),
    Directive::new(
        "tcp-keepalive",
        Kind::Int(0, INT),
        "300",
        field!(tcp_keepalive),
        "Seconds without traffic after which the kernel probes whether a client is still there. 0 does not probe.",
    ),
    Directive::new(
        "connection-migration",
        Kind::Bool,
        "no",
        field!(connection_migration),
        "Whether a connection may move to another core: to the one that owns nearly all keys that it asks for, and away \
         from a core that is busy with several connections to one that has time.",
    )
    .own(),
    Directive::new(
        "maxclients",
        Kind::Int(1, UINT),
        "10000",
        field!(maxclients),
        "Connections at one time, over all cores. Further ones get an error and are closed. The limit on open files \
         is raised to fit at start.",
    ),
    Directive::new(
        "socket-mark-id",
        Kind::Int(0, UINT),
        "0",
        Kept(Lacking::Kernel),
        "A mark on listening sockets for the kernel's packet filters.",
    )
    .at_start(),
    Directive::new(
        "max-new-connections-per-cycle",
        Kind::Int(1, 1000),
        "10",
        Kept(Lacking::Threads),
        "Connections that Redis accepts in one turn of its loop.",
    ),
    Directive::new(
        "bind-source-addr",
        Kind::Text,
        "\"\"",
        Kept(Lacking::Replication),
        "The local address of connections that the server opens itself.",
    ),
];
