//! redis.conf's directives about how collections are encoded. This version stores strings only.

use super::{INT, LONG, Section};
use crate::config::directive::Directive;
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::Collections;
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Encodings of collections",
    intro: "This version stores strings only: these directives of redis.conf are read, kept and reported, without \
            effect.",
    rows: ROWS,
};

const fn entries(name: &'static str, default: &'static str, doc: &'static str) -> Directive {
    Directive::new(name, Kind::Int(0, LONG), default, Kept(Collections), doc)
}

const fn bytes(name: &'static str, default: &'static str, doc: &'static str) -> Directive {
    Directive::new(name, Kind::Memory(0, LONG), default, Kept(Collections), doc)
}

const ROWS: &[Directive] = &[
    entries("hash-max-listpack-entries", "512", "Fields up to which a hash is packed.")
        .aliases(&["hash-max-ziplist-entries"]),
    bytes("hash-max-listpack-value", "64", "Bytes up to which a field or its value is packed.")
        .aliases(&["hash-max-ziplist-value"]),
    Directive::new(
        "list-max-listpack-size",
        Kind::Int(-INT - 1, INT),
        "-2",
        Kept(Collections),
        "Elements in one node of a list, or its size: -1 to -5 are 4, 8, 16, 32 and 64 KiB.",
    )
    .aliases(&["list-max-ziplist-size"]),
    Directive::new(
        "list-compress-depth",
        Kind::Int(0, INT),
        "0",
        Kept(Collections),
        "Nodes at each end of a list that are not compressed; 0 compresses none.",
    ),
    entries("set-max-intset-entries", "512", "Numbers up to which a set of numbers is packed."),
    entries("set-max-listpack-entries", "128", "Members up to which a set is packed."),
    bytes("set-max-listpack-value", "64", "Bytes up to which a member is packed."),
    entries("zset-max-listpack-entries", "128", "Members up to which a sorted set is packed.")
        .aliases(&["zset-max-ziplist-entries"]),
    bytes("zset-max-listpack-value", "64", "Bytes up to which a member is packed.")
        .aliases(&["zset-max-ziplist-value"]),
    bytes("hll-sparse-max-bytes", "3000", "Bytes up to which a HyperLogLog is sparse."),
    bytes("stream-node-max-bytes", "4096", "Bytes in one node of a stream; 0 = no limit."),
    entries("stream-node-max-entries", "100", "Entries in one node of a stream; 0 = no limit."),
];
