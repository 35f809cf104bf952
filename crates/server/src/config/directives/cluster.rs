//! redis.conf's directives about Redis Cluster. This version is not a cluster node.

use super::{INT, LONG, Section, ULONG};
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::Cluster;
use crate::config::directive::{Directive, Refusal};
use crate::config::lists::check_hostname;
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Cluster",
    intro: "This version is not a cluster node: these directives of redis.conf are read, kept and reported, without \
            effect. cluster-enabled yes stops the start.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new("cluster-enabled", Kind::Bool, "no", Kept(Cluster), "Whether the server is a node of a cluster.")
        .at_start()
        .refused(Refusal::Always),
    Directive::new(
        "cluster-config-file",
        Kind::Text,
        "nodes.conf",
        Kept(Cluster),
        "The file that a node keeps for itself.",
    )
    .at_start(),
    Directive::new(
        "cluster-port",
        Kind::Int(0, 65535),
        "0",
        Kept(Cluster),
        "The port that nodes talk to each other on; 0 is port + 10000.",
    )
    .at_start(),
    Directive::new(
        "cluster-node-timeout",
        Kind::Int(0, LONG),
        "15000",
        Kept(Cluster),
        "Milliseconds of silence after which a node has failed.",
    ),
    Directive::new(
        "cluster-replica-validity-factor",
        Kind::Int(0, INT),
        "10",
        Kept(Cluster),
        "How old a replica's data may be for it to take over, in timeouts; 0 = any age.",
    )
    .aliases(&["cluster-slave-validity-factor"]),
    Directive::new(
        "cluster-migration-barrier",
        Kind::Int(0, INT),
        "1",
        Kept(Cluster),
        "Replicas that a primary keeps when it gives one away.",
    ),
    Directive::new(
        "cluster-allow-replica-migration",
        Kind::Bool,
        "yes",
        Kept(Cluster),
        "Whether replicas move to primaries that have none.",
    ),
    Directive::new(
        "cluster-require-full-coverage",
        Kind::Bool,
        "yes",
        Kept(Cluster),
        "Whether the cluster stops while a slot has no node.",
    ),
    Directive::new(
        "cluster-replica-no-failover",
        Kind::Bool,
        "no",
        Kept(Cluster),
        "Whether a replica never takes over by itself.",
    )
    .aliases(&["cluster-slave-no-failover"]),
    Directive::new(
        "cluster-allow-reads-when-down",
        Kind::Bool,
        "no",
        Kept(Cluster),
        "Whether reads go on while the cluster is down.",
    ),
    Directive::new(
        "cluster-allow-pubsubshard-when-down",
        Kind::Bool,
        "yes",
        Kept(Cluster),
        "Whether messages of slots go on while the cluster is down.",
    ),
    Directive::new(
        "cluster-link-sendbuf-limit",
        Kind::Memory(0, ULONG),
        "0",
        Kept(Cluster),
        "Bytes waiting for another node after which its link is cut; 0 = no limit.",
    ),
    Directive::new("cluster-announce-ip", Kind::Text, "\"\"", Kept(Cluster), "The address that a node says it has."),
    Directive::new(
        "cluster-announce-port",
        Kind::Int(0, 65535),
        "0",
        Kept(Cluster),
        "The port that a node says it has.",
    ),
    Directive::new(
        "cluster-announce-tls-port",
        Kind::Int(0, 65535),
        "0",
        Kept(Cluster),
        "The TLS port that a node says it has.",
    ),
    Directive::new(
        "cluster-announce-bus-port",
        Kind::Int(0, 65535),
        "0",
        Kept(Cluster),
        "The port for other nodes that a node says it has.",
    ),
    Directive::new(
        "cluster-announce-hostname",
        Kind::Checked(check_hostname),
        "\"\"",
        Kept(Cluster),
        "The name that a node says it has.",
    ),
    Directive::new("cluster-announce-human-nodename", Kind::Text, "\"\"", Kept(Cluster), "A name for people, in logs."),
    Directive::new(
        "cluster-preferred-endpoint-type",
        Kind::Choice(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
        Kept(Cluster),
        "Which of those clients are told.",
    ),
];
