//! Cores, databases, the process and its log.

use super::{INT, Section};
use crate::config::directive::Home::Kept;
use crate::config::directive::{Directive, Lacking, Refusal};
use crate::config::field::{LOGLEVELS, PIPELINE_ORDERS, SUPERVISED, field};
use crate::config::lists::{OOM_SCORES, SHUTDOWN, check_dir, check_title_template};
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Cores, process and log",
    intro: "How many cores the keyspace is spread over, and how the process behaves towards the system.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new(
        "shards",
        Kind::Int(0, pinyon_runtime::CORES_MAX as i128),
        "0",
        field!(shards),
        "How many shards to divide the keyspace into; each has a thread of its own. 0 means one per core that the \
         process may use. More than there are cores is allowed, and slower.",
    )
    .own()
    .at_start(),
    Directive::new(
        "pin",
        Kind::Bool,
        "yes",
        field!(pin),
        "Keep each shard's thread on one core. Switch it off where other busy processes share the machine, or where \
         several servers run on the same cores.",
    )
    .own()
    .at_start(),
    Directive::new(
        "pipeline-order",
        Kind::Choice(PIPELINE_ORDERS),
        "relaxed",
        field!(pipeline_order),
        "The order of commands that one connection sends without waiting for replies. Replies always come in the order \
         sent, commands on one shard run in the order sent, and one that has its reply is seen by all that begin later. \
         With relaxed, commands on different shards may overlap: of SET a 1, SET b 1 in one pipeline, another client may \
         see b before a. With strict they run one after the other as in Redis, at the price of one round between cores \
         for every switch of shard. MULTI and commands over several keys are one moment either way.",
    )
    .own(),
    Directive::new(
        "databases",
        Kind::Int(1, 65535),
        "16",
        field!(databases),
        "The number of databases; SELECT takes 0 up to this number less one.",
    )
    .at_start(),
    Directive::new(
        "dir",
        Kind::Checked(check_dir),
        "./",
        field!(dir),
        "The working folder. It must exist. The server changes into it at start, so that relative paths in this file \
         are meant from there.",
    )
    .protected(),
    Directive::new(
        "supervised",
        Kind::Choice(SUPERVISED),
        "auto",
        field!(supervised),
        "Whether to tell a supervisor when the server is ready and when it stops. auto and systemd send systemd's \
         messages where NOTIFY_SOCKET is set; no and upstart send none.",
    )
    .at_start(),
    Directive::new(
        "pidfile",
        Kind::Text,
        "\"\"",
        field!(pidfile),
        "A file that holds the process id while the server runs. A file that cannot be written is reported and does \
         not stop the start.",
    )
    .at_start(),
    Directive::new(
        "loglevel",
        Kind::Choice(LOGLEVELS),
        "notice",
        field!(loglevel),
        "What is logged: warning only what needs attention, notice also what happened, verbose and debug much more, \
         nothing nothing.",
    ),
    Directive::new(
        "logfile",
        Kind::Text,
        "\"\"",
        field!(logfile),
        "The file to log to; the standard output when empty. It is opened anew for every message, so it can be moved \
         away at any time.",
    )
    .at_start(),
    Directive::new(
        "always-show-logo",
        Kind::Bool,
        "no",
        field!(always_show_logo),
        "Print the logo at start also when the standard output is not a terminal.",
    )
    .at_start(),
    Directive::new(
        "crash-log-enabled",
        Kind::Bool,
        "yes",
        field!(crash_log_enabled),
        "Log what a thread was doing when it failed.",
    ),
    Directive::new(
        "hide-user-data-from-log",
        Kind::Bool,
        "no",
        Kept(Lacking::Logging),
        "Keep keys, values and arguments out of the log.",
    ),
    Directive::new(
        "daemonize",
        Kind::Bool,
        "no",
        Kept(Lacking::Foreground),
        "Whether Redis moves into the background by itself.",
    )
    .at_start(),
    Directive::new(
        "set-proc-title",
        Kind::Bool,
        "yes",
        Kept(Lacking::Kernel),
        "Whether Redis rewrites its title in process lists.",
    )
    .at_start(),
    Directive::new(
        "proc-title-template",
        Kind::Checked(check_title_template),
        "\"{title} {listen-addr} {server-mode}\"",
        Kept(Lacking::Kernel),
        "The title that Redis gives itself in process lists.",
    ),
    Directive::new(
        "shutdown-timeout",
        Kind::Int(0, INT),
        "10",
        Kept(Lacking::Replication),
        "Seconds that a shutdown waits for replicas to catch up.",
    ),
    Directive::new(
        "shutdown-on-sigint",
        Kind::List(&SHUTDOWN),
        "default",
        field!(shutdown_on_sigint),
        "The options with which SIGINT ends the server, as SHUTDOWN has them.",
    ),
    Directive::new(
        "shutdown-on-sigterm",
        Kind::List(&SHUTDOWN),
        "default",
        field!(shutdown_on_sigterm),
        "The options with which SIGTERM ends the server, as SHUTDOWN has them.",
    ),
    Directive::new(
        "io-threads",
        Kind::Int(1, 128),
        "1",
        Kept(Lacking::Threads),
        "Threads that help Redis with its sockets.",
    )
    .at_start(),
    Directive::new("io-threads-do-reads", Kind::Bool, "no", Kept(Lacking::Threads), "Whether those threads also read.")
        .at_start(),
    Directive::new(
        "server_cpulist",
        Kind::Text,
        "\"\"",
        Kept(Lacking::Threads),
        "Cores for Redis's main thread and its helpers.",
    )
    .at_start(),
    Directive::new("bio_cpulist", Kind::Text, "\"\"", Kept(Lacking::Threads), "Cores for Redis's background threads.")
        .at_start(),
    Directive::new(
        "aof_rewrite_cpulist",
        Kind::Text,
        "\"\"",
        Kept(Lacking::Threads),
        "Cores for Redis's process that rewrites the append-only file.",
    )
    .at_start(),
    Directive::new(
        "bgsave_cpulist",
        Kind::Text,
        "\"\"",
        Kept(Lacking::Threads),
        "Cores for Redis's process that saves the data.",
    )
    .at_start(),
    Directive::new(
        "oom-score-adj",
        Kind::Choice(&["no", "yes", "relative", "absolute"]),
        "no",
        Kept(Lacking::Kernel),
        "Whether Redis tells the kernel how ready it is to be killed when memory runs out.",
    ),
    Directive::new(
        "oom-score-adj-values",
        Kind::List(&OOM_SCORES),
        "0 200 800",
        Kept(Lacking::Kernel),
        "The scores for a primary, a replica and a process in the background.",
    ),
    Directive::new(
        "disable-thp",
        Kind::Bool,
        "yes",
        field!(disable_thp),
        "Do without transparent huge pages, whatever the host says. With them commands take some percent less CPU over \
         many gigabytes, but memory comes in pages of 2 MiB: more of it is resident, and what touches a new page first \
         waits until all of it is cleared, 0.1 ms, or 5 ms on a virtual machine whose host hands memory out late.",
    )
    .at_start(),
    Directive::new(
        "jemalloc-bg-thread",
        Kind::Bool,
        "yes",
        Kept(Lacking::Allocator),
        "Whether jemalloc gives memory back in a thread of its own.",
    ),
    Directive::new(
        "activedefrag",
        Kind::Bool,
        "no",
        Kept(Lacking::Allocator),
        "Whether Redis moves values together to give memory back.",
    )
    .refused(Refusal::AtSet),
    Directive::new(
        "active-defrag-ignore-bytes",
        Kind::Memory(1, super::LONG),
        "100mb",
        Kept(Lacking::Allocator),
        "Waste below which nothing is moved.",
    ),
    Directive::new(
        "active-defrag-threshold-lower",
        Kind::Int(0, 1000),
        "10",
        Kept(Lacking::Allocator),
        "Percentage of waste from which values are moved.",
    ),
    Directive::new(
        "active-defrag-threshold-upper",
        Kind::Int(0, 1000),
        "100",
        Kept(Lacking::Allocator),
        "Percentage of waste from which moving may take the most time.",
    ),
    Directive::new(
        "active-defrag-cycle-min",
        Kind::Int(1, 99),
        "1",
        Kept(Lacking::Allocator),
        "The least percentage of a core's time for moving.",
    ),
    Directive::new(
        "active-defrag-cycle-max",
        Kind::Int(1, 99),
        "25",
        Kept(Lacking::Allocator),
        "The greatest percentage of a core's time for moving.",
    ),
    Directive::new(
        "active-defrag-max-scan-fields",
        Kind::Int(1, super::LONG),
        "1000",
        Kept(Lacking::Allocator),
        "Elements of a collection that are moved without a pause.",
    ),
    Directive::new(
        "syslog-enabled",
        Kind::Bool,
        "no",
        Kept(Lacking::Logging),
        "Whether Redis logs to the system's logger.",
    )
    .at_start(),
    Directive::new("syslog-ident", Kind::Text, "redis", Kept(Lacking::Logging), "The name to log under.").at_start(),
    Directive::new(
        "syslog-facility",
        Kind::Choice(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]),
        "local0",
        Kept(Lacking::Logging),
        "The facility to log to.",
    )
    .at_start(),
    Directive::new(
        "crash-memcheck-enabled",
        Kind::Bool,
        "yes",
        Kept(Lacking::Testing),
        "Whether Redis tests the memory after a crash.",
    ),
    Directive::new(
        "ignore-warnings",
        Kind::Text,
        "\"\"",
        Kept(Lacking::Kernel),
        "Warnings at start that Redis leaves out.",
    ),
    Directive::new(
        "locale-collate",
        Kind::Text,
        "\"\"",
        Kept(Lacking::Locale),
        "The locale that orders texts in sorted replies.",
    ),
    Directive::new(
        "watchdog-period",
        Kind::Int(0, INT),
        "0",
        Kept(Lacking::Testing),
        "Milliseconds of standstill after which Redis logs what it does.",
    )
    .hidden(),
    Directive::new(
        "use-exit-on-panic",
        Kind::Bool,
        "no",
        Kept(Lacking::Testing),
        "Whether a failed assertion exits instead of aborting.",
    )
    .hidden(),
];
