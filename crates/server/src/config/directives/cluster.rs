//! Ports of single cores, for clients that speak Redis Cluster's protocol, and redis.conf's directives about clusters.

use super::{INT, LONG, Section, ULONG};
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::Cluster;
use crate::config::directive::{Directive, Refusal};
use crate::config::field::{ENDPOINT_TYPES, field};
use crate::config::lists::check_hostname;
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Cluster",
    intro: "With core-ports yes, every core has a port of its own, where clients that speak Redis Cluster's protocol take \
            it for a node. Pinyon is no node of a cluster of several servers: most directives of redis.conf about that \
            are read, kept and reported, without effect, and cluster-enabled yes stops the start.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new(
        "core-ports",
        Kind::Bool,
        "no",
        field!(core_ports),
        "Whether each core listens on a port of its own, too. Cluster clients that are given one of these ports ask each \
         key's own core, so no command travels between cores. A key of another core is answered with -MOVED there; \
         on the main port all keys just work.",
    )
    .own()
    .at_start(),
    Directive::new(
        "core-port-base",
        Kind::Int(0, 65535),
        "0",
        field!(core_port_base),
        "The port of the first core, with core-ports yes; the others follow. 0 is the port after the main one.",
    )
    .own()
    .at_start(),
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
    Directive::new(
        "cluster-announce-ip",
        Kind::Text,
        "\"\"",
        field!(cluster_announce_ip),
        "The address at which clients of the cores' ports reach them. Without one it is the address that each client \
         has connected to.",
    ),
    Directive::new(
        "cluster-announce-port",
        Kind::Int(0, 65535),
        "0",
        field!(cluster_announce_port),
        "The port at which clients reach the first core's port, where it is another one for them; the other cores' \
         follow. 0 is the real one.",
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
        field!(cluster_announce_hostname),
        "The host name at which clients of the cores' ports reach them.",
    ),
    Directive::new("cluster-announce-human-nodename", Kind::Text, "\"\"", Kept(Cluster), "A name for people, in logs."),
    Directive::new(
        "cluster-preferred-endpoint-type",
        Kind::Choice(ENDPOINT_TYPES),
        "ip",
        field!(cluster_preferred_endpoint_type),
        "Which of the two clients are to use: the address, the host name, or what they have connected to \
         (unknown-endpoint).",
    ),
];
