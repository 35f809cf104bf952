//! Limits on what clients send and are sent, scripts and modules.

use super::{LONG, Section};
use crate::config::directive::Home::Kept;
use crate::config::directive::{Directive, Lacking};
use crate::config::field::field;
use crate::config::lists::{OUTPUT_LIMITS, check_keyspace_events};
use crate::config::value::Kind;

pub const SECTION: Section =
    Section { title: "Limits of clients", intro: "What one client may send and leave unread.", rows: ROWS };

/// Redis allows no less for these two.
const MIB: i128 = 1024 * 1024;

const ROWS: &[Directive] = &[
    Directive::new(
        "client-output-buffer-limit",
        Kind::List(&OUTPUT_LIMITS),
        "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        field!(client_output_buffer_limit),
        "When to close a client that does not read its replies: at once when more than the hard limit is waiting, or \
         when more than the soft limit has been waiting for so many seconds. Classes that are not named keep their \
         limits.",
    ),
    Directive::new(
        "client-query-buffer-limit",
        Kind::Memory(MIB, LONG),
        "1gb",
        field!(client_query_buffer_limit),
        "Bytes of one client's commands that may wait to be executed. A client with more is closed.",
    ),
    Directive::new(
        "proto-max-bulk-len",
        Kind::Memory(MIB, LONG),
        "512mb",
        field!(proto_max_bulk_len),
        "The longest single argument, and the longest string that commands may make.",
    ),
    Directive::new(
        "busy-reply-threshold",
        Kind::Int(0, LONG),
        "5000",
        Kept(Lacking::Scripts),
        "Milliseconds after which a script that still runs lets others be told that the server is busy.",
    )
    .aliases(&["lua-time-limit"]),
    Directive::new(
        "lua-enable-deprecated-api",
        Kind::Bool,
        "no",
        Kept(Lacking::Scripts),
        "Whether scripts see functions that Lua has given up.",
    )
    .at_start()
    .hidden(),
    Directive::new(
        "notify-keyspace-events",
        Kind::Checked(check_keyspace_events),
        "\"\"",
        field!(notify_keyspace_events),
        "What is published of what happens to keys: K in the channel __keyspace@<db>__:<key> and E in \
         __keyevent@<db>__:<event>, of these kinds: g keys of any type, $ strings, l lists, s sets, h hashes, z sorted \
         sets, t streams, x deadlines that pass, e evictions, d modules (none), n new keys, m reads that find nothing; \
         A = g$lshzxetd. Without K or E nothing is.",
    ),
];
