//! redis.conf's directives about replicas. This version does not replicate.

use super::{INT, LONG, Section};
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::Replication;
use crate::config::directive::{Directive, Refusal};
use crate::config::lists::REPLICAOF;
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Replication",
    intro: "This version does not replicate: these directives of redis.conf are read, kept and reported, without \
            effect. replicaof stops the start, since a replica that takes writes of its own would be a surprise.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new("replicaof", Kind::List(&REPLICAOF), "\"\"", Kept(Replication), "The primary to follow.")
        .aliases(&["slaveof"])
        .at_start()
        .refused(Refusal::Always),
    Directive::new("masterauth", Kind::Text, "\"\"", Kept(Replication), "The password for the primary.").secret(),
    Directive::new("masteruser", Kind::Text, "\"\"", Kept(Replication), "The user to be for the primary."),
    Directive::new(
        "replica-serve-stale-data",
        Kind::Bool,
        "yes",
        Kept(Replication),
        "Whether a replica answers while it has lost its primary.",
    )
    .aliases(&["slave-serve-stale-data"]),
    Directive::new("replica-read-only", Kind::Bool, "yes", Kept(Replication), "Whether a replica refuses writes.")
        .aliases(&["slave-read-only"]),
    Directive::new(
        "replica-lazy-flush",
        Kind::Bool,
        "no",
        Kept(Replication),
        "Whether a replica drops its old data in the background.",
    )
    .aliases(&["slave-lazy-flush"]),
    Directive::new(
        "replica-priority",
        Kind::Int(0, INT),
        "100",
        Kept(Replication),
        "Which replica Sentinel prefers: the lower number; 0 is never taken.",
    )
    .aliases(&["slave-priority"]),
    Directive::new(
        "replica-announced",
        Kind::Bool,
        "yes",
        Kept(Replication),
        "Whether Sentinel tells clients of this replica.",
    ),
    Directive::new(
        "replica-announce-ip",
        Kind::Text,
        "\"\"",
        Kept(Replication),
        "The address that a replica says it has.",
    )
    .aliases(&["slave-announce-ip"]),
    Directive::new(
        "replica-announce-port",
        Kind::Int(0, 65535),
        "0",
        Kept(Replication),
        "The port that a replica says it has.",
    )
    .aliases(&["slave-announce-port"]),
    Directive::new(
        "replica-ignore-maxmemory",
        Kind::Bool,
        "yes",
        Kept(Replication),
        "Whether a replica leaves eviction to its primary.",
    )
    .aliases(&["slave-ignore-maxmemory"]),
    Directive::new(
        "replica-ignore-disk-write-errors",
        Kind::Bool,
        "no",
        Kept(Replication),
        "Whether a replica goes on when its disk fails.",
    ),
    Directive::new(
        "propagation-error-behavior",
        Kind::Choice(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
        Kept(Replication),
        "What to do when a replicated command fails.",
    ),
    Directive::new(
        "repl-diskless-sync",
        Kind::Bool,
        "yes",
        Kept(Replication),
        "Whether a full copy goes to replicas without a file.",
    ),
    Directive::new(
        "repl-diskless-sync-delay",
        Kind::Int(0, INT),
        "5",
        Kept(Replication),
        "Seconds to wait for more replicas before a full copy.",
    ),
    Directive::new(
        "repl-diskless-sync-max-replicas",
        Kind::Int(0, INT),
        "0",
        Kept(Replication),
        "Replicas for which it waits no longer; 0 waits the whole time.",
    ),
    Directive::new(
        "repl-diskless-load",
        Kind::Choice(&["disabled", "on-empty-db", "swapdb"]),
        "disabled",
        Kept(Replication),
        "Whether a replica loads a full copy without a file.",
    ),
    Directive::new(
        "repl-ping-replica-period",
        Kind::Int(1, INT),
        "10",
        Kept(Replication),
        "Seconds between signs of life to replicas.",
    )
    .aliases(&["repl-ping-slave-period"]),
    Directive::new(
        "repl-timeout",
        Kind::Int(1, INT),
        "60",
        Kept(Replication),
        "Seconds without a sign of life after which the other side is lost.",
    ),
    Directive::new(
        "repl-disable-tcp-nodelay",
        Kind::Bool,
        "no",
        Kept(Replication),
        "Whether small packets to replicas are joined.",
    ),
    Directive::new(
        "repl-backlog-size",
        Kind::Memory(1, LONG),
        "1mb",
        Kept(Replication),
        "Bytes of history kept for replicas that come back.",
    ),
    Directive::new(
        "repl-backlog-ttl",
        Kind::Int(0, LONG),
        "3600",
        Kept(Replication),
        "Seconds without replicas after which that history is dropped; 0 keeps it.",
    ),
    Directive::new(
        "min-replicas-to-write",
        Kind::Int(0, INT),
        "0",
        Kept(Replication),
        "Replicas that must be in touch for writes to be taken.",
    )
    .aliases(&["min-slaves-to-write"]),
    Directive::new(
        "min-replicas-max-lag",
        Kind::Int(0, INT),
        "10",
        Kept(Replication),
        "Seconds of silence after which a replica is not in touch.",
    )
    .aliases(&["min-slaves-max-lag"]),
];
