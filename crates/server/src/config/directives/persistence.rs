//! Directives about what is kept on disk: the log, and redis.conf's about snapshots.

use super::{INT, LONG, Section};
use crate::config::directive::Directive;
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::{Persistence, Testing};
use crate::config::field::{FSYNCS, field};
use crate::config::lists::{SAVE, check_appenddirname, check_appendfilename, check_dbfilename};
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Persistence",
    intro: "Every shard writes a log; a snapshot shortens it, and a start reads both back. Those directives of redis.conf \
            that say so are read, kept and reported, without effect.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new(
        "save",
        Kind::List(&SAVE),
        "3600 1 300 100 60 10000",
        field!(save),
        "When a snapshot is taken: after so many seconds when there were so many changes.",
    ),
    Directive::new(
        "dbfilename",
        Kind::Checked(check_dbfilename),
        "dump.rdb",
        field!(dbfilename),
        "A snapshot of Redis, below dir, that is imported at the start if the folder of the data holds none yet.",
    )
    .protected(),
    Directive::new("rdbcompression", Kind::Bool, "yes", field!(rdbcompression), "Whether snapshots are compressed."),
    Directive::new(
        "rdbchecksum",
        Kind::Bool,
        "yes",
        field!(rdbchecksum),
        "Whether what is in snapshots carries checksums. Without them a start cannot tell what was damaged since.",
    )
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
        field!(stop_writes_on_bgsave_error),
        "Whether writes are refused after a snapshot has failed.",
    ),
    Directive::new(
        "sanitize-dump-payload",
        Kind::Choice(&["no", "yes", "clients"]),
        "no",
        Kept(Persistence),
        "How closely loaded values are checked.",
    ),
    Directive::new(
        "appendonly",
        Kind::Bool,
        "yes",
        field!(appendonly),
        "Whether writes are logged to disk, so that a restart finds them again. Without it a restart finds the last snapshot. \
         Switched on by CONFIG SET, the logs count when a snapshot is there on which they build.",
    ),
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
        field!(appenddirname),
        "The folder of the data's files, below dir. Each server needs one of its own.",
    )
    .at_start(),
    Directive::new(
        "log-segment-size",
        Kind::Memory(1 << 20, 1 << 30),
        "32mb",
        field!(log_segment_size),
        "The size of one file of a log. Files are filled with zeros before use, and each shard keeps one ready besides \
         the one that it writes.",
    )
    .own()
    .at_start(),
    Directive::new(
        "log-repair",
        Kind::Bool,
        "no",
        field!(log_repair),
        "Whether a start goes on in spite of a log that is damaged, without what is lost. Otherwise it says what is \
         wrong and ends. The end of a log that a crash left unfinished is no damage.",
    )
    .own()
    .at_start(),
    Directive::new(
        "appendfsync",
        Kind::Choice(FSYNCS),
        "everysec",
        field!(appendfsync),
        "When the log is forced to disk: always, before a write is answered; everysec, so that a power cut costs a second \
         at most; no, when the kernel pleases. A server that is killed loses some milliseconds with everysec and no. \
         Nobody is shown what is not yet on the disk with always.",
    ),
    Directive::new(
        "no-appendfsync-on-rewrite",
        Kind::Bool,
        "no",
        field!(no_appendfsync_on_rewrite),
        "Whether the log is not forced to disk while a snapshot is made, whatever appendfsync says.",
    ),
    Directive::new(
        "auto-aof-rewrite-percentage",
        Kind::Int(0, INT),
        "100",
        field!(auto_aof_rewrite_percentage),
        "A snapshot is taken when the logs have grown by so many percent of the last one's size. 0: never.",
    ),
    Directive::new(
        "auto-aof-rewrite-min-size",
        Kind::Memory(0, LONG),
        "64mb",
        field!(auto_aof_rewrite_min_size),
        "The size of snapshot and logs together below which that is not done.",
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
        field!(rdb_key_save_delay),
        "Microseconds per key by which a snapshot is slowed down, for tests.",
    )
    .hidden(),
    Directive::new(
        "key-load-delay",
        Kind::Int(-INT - 1, INT),
        "0",
        field!(key_load_delay),
        "Microseconds per key by which loading a snapshot is slowed down, for tests.",
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
