//! redis.conf's directives about files. Data lives in memory only in this version, so none of them has an effect.

use super::{INT, LONG, Section};
use crate::config::directive::Directive;
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::{Persistence, Testing};
use crate::config::lists::{SAVE, check_appenddirname, check_appendfilename, check_dbfilename};
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Persistence",
    intro: "This version keeps data in memory only: these directives of redis.conf are read, kept and reported, \
            without effect.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new(
        "save",
        Kind::List(&SAVE),
        "3600 1 300 100 60 10000",
        Kept(Persistence),
        "When a snapshot is taken: after so many seconds when there were so many changes.",
    ),
    Directive::new(
        "dbfilename",
        Kind::Checked(check_dbfilename),
        "dump.rdb",
        Kept(Persistence),
        "The snapshot's file.",
    )
    .protected(),
    Directive::new("rdbcompression", Kind::Bool, "yes", Kept(Persistence), "Whether snapshots are compressed."),
    Directive::new("rdbchecksum", Kind::Bool, "yes", Kept(Persistence), "Whether snapshots carry checksums.")
        .at_start(),
    Directive::new(
        "rdb-del-sync-files",
        Kind::Bool,
        "no",
        Kept(Persistence),
        "Whether snapshots that were made for replicas are deleted.",
    ),
    Directive::new(
        "rdb-save-incremental-fsync",
        Kind::Bool,
        "yes",
        Kept(Persistence),
        "Whether a snapshot is synced piece by piece.",
    ),
    Directive::new(
        "stop-writes-on-bgsave-error",
        Kind::Bool,
        "yes",
        Kept(Persistence),
        "Whether writes are refused after a snapshot has failed.",
    ),
    Directive::new(
        "sanitize-dump-payload",
        Kind::Choice(&["no", "yes", "clients"]),
        "no",
        Kept(Persistence),
        "How closely loaded values are checked.",
    ),
    Directive::new("appendonly", Kind::Bool, "no", Kept(Persistence), "Whether writes are logged to disk."),
    Directive::new(
        "appendfilename",
        Kind::Checked(check_appendfilename),
        "appendonly.aof",
        Kept(Persistence),
        "The first part of the names of the log's files.",
    )
    .at_start(),
    Directive::new(
        "appenddirname",
        Kind::Checked(check_appenddirname),
        "appendonlydir",
        Kept(Persistence),
        "The folder of the log's files.",
    )
    .at_start(),
    Directive::new(
        "appendfsync",
        Kind::Choice(&["everysec", "always", "no"]),
        "everysec",
        Kept(Persistence),
        "When the log is forced to disk.",
    ),
    Directive::new(
        "no-appendfsync-on-rewrite",
        Kind::Bool,
        "no",
        Kept(Persistence),
        "Whether it is not forced while the log is compacted.",
    ),
    Directive::new(
        "auto-aof-rewrite-percentage",
        Kind::Int(0, INT),
        "100",
        Kept(Persistence),
        "Growth in percent after which the log is compacted.",
    ),
    Directive::new(
        "auto-aof-rewrite-min-size",
        Kind::Memory(0, LONG),
        "64mb",
        Kept(Persistence),
        "The size below which it is not.",
    ),
    Directive::new(
        "aof-load-truncated",
        Kind::Bool,
        "yes",
        Kept(Persistence),
        "Whether a log that ends in the middle of a command is loaded.",
    ),
    Directive::new(
        "aof-use-rdb-preamble",
        Kind::Bool,
        "yes",
        Kept(Persistence),
        "Whether a compacted log begins with a snapshot.",
    ),
    Directive::new(
        "aof-timestamp-enabled",
        Kind::Bool,
        "no",
        Kept(Persistence),
        "Whether the log carries times, to go back to one.",
    ),
    Directive::new(
        "aof-rewrite-incremental-fsync",
        Kind::Bool,
        "yes",
        Kept(Persistence),
        "Whether a compacted log is synced piece by piece.",
    ),
    Directive::new(
        "aof-disable-auto-gc",
        Kind::Bool,
        "no",
        Kept(Persistence),
        "Whether files that the log no longer needs are left.",
    ),
    Directive::new(
        "rdb-key-save-delay",
        Kind::Int(-INT - 1, INT),
        "0",
        Kept(Testing),
        "Microseconds that Redis pauses between keys when it saves.",
    )
    .hidden(),
    Directive::new(
        "key-load-delay",
        Kind::Int(-INT - 1, INT),
        "0",
        Kept(Testing),
        "Microseconds that Redis pauses between keys when it loads.",
    )
    .hidden(),
    Directive::new(
        "loading-process-events-interval-bytes",
        Kind::Int(1024, INT),
        "2097152",
        Kept(Testing),
        "Bytes that Redis loads before it looks at its clients again.",
    )
    .hidden(),
];
