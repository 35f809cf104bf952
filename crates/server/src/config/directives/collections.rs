//! How collections are encoded.

use super::{INT, LONG, Section};
use crate::config::directive::Home::Kept;
use crate::config::directive::{Directive, Home, Lacking};
use crate::config::field::field;
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Encodings of collections",
    intro: "Small collections are packed, which takes less memory and more time. Beyond any of these limits a collection is \
            kept in its large form, and stays so.",
    rows: ROWS,
};

const fn entries(name: &'static str, default: &'static str, home: Home, doc: &'static str) -> Directive {
    Directive::new(name, Kind::Int(0, LONG), default, home, doc)
}

const fn bytes(name: &'static str, default: &'static str, home: Home, doc: &'static str) -> Directive {
    Directive::new(name, Kind::Memory(0, LONG), default, home, doc)
}

const ROWS: &[Directive] = &[
    entries(
        "hash-max-listpack-entries",
        "512",
        field!(hash_max_listpack_entries),
        "Fields up to which a hash is packed.",
    )
    .aliases(&["hash-max-ziplist-entries"]),
    bytes(
        "hash-max-listpack-value",
        "64",
        field!(hash_max_listpack_value),
        "Bytes up to which a field or its value is packed.",
    )
    .aliases(&["hash-max-ziplist-value"]),
    Directive::new(
        "list-max-listpack-size",
        Kind::Int(-INT - 1, INT),
        "-2",
        field!(list_max_listpack_size),
        "Elements in one node of a list, or its size: -1 to -5 are 4, 8, 16, 32 and 64 KiB.",
    )
    .aliases(&["list-max-ziplist-size"]),
    Directive::new(
        "list-compress-depth",
        Kind::Int(0, INT),
        "0",
        Kept(Lacking::Compressed),
        "Nodes at each end of a list that are not compressed.",
    ),
    entries(
        "set-max-intset-entries",
        "512",
        field!(set_max_intset_entries),
        "Numbers up to which a set of numbers is packed.",
    ),
    entries(
        "set-max-listpack-entries",
        "128",
        field!(set_max_listpack_entries),
        "Members up to which a set is packed.",
    ),
    bytes("set-max-listpack-value", "64", field!(set_max_listpack_value), "Bytes up to which a member is packed."),
    entries(
        "zset-max-listpack-entries",
        "128",
        field!(zset_max_listpack_entries),
        "Members up to which a sorted set is packed.",
    )
    .aliases(&["zset-max-ziplist-entries"]),
    bytes("zset-max-listpack-value", "64", field!(zset_max_listpack_value), "Bytes up to which a member is packed.")
        .aliases(&["zset-max-ziplist-value"]),
    bytes("hll-sparse-max-bytes", "3000", field!(hll_sparse_max_bytes), "Bytes up to which a HyperLogLog is sparse."),
    bytes(
        "stream-node-max-bytes",
        "4096",
        field!(stream_node_max_bytes),
        "Bytes in one node of a stream; 0 = no limit.",
    ),
    entries(
        "stream-node-max-entries",
        "100",
        field!(stream_node_max_entries),
        "Entries in one node of a stream; 0 = no limit.",
    ),
];
