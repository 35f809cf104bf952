//! Memory, eviction and expiry.

use super::{INT, LONG, Section, ULONG};
use crate::config::directive::Home::Kept;
use crate::config::directive::{Directive, Field, Home, Lacking};
use crate::config::field::{FieldValue, POLICIES, field};
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Memory, eviction and expiry",
    intro: "What happens when memory is short, and when keys are due.",
    rows: ROWS,
};

/// The rates that Redis allows.
const HZ_MIN: u32 = 1;
const HZ_MAX: u32 = 500;

/// Numbers outside the range become its ends, as in Redis.
const HZ: Home =
    Home::Field(Field { get: |c| c.hz.to_value(), set: |c, v| c.hz = u32::from_value(v).clamp(HZ_MIN, HZ_MAX) });

const ROWS: &[Directive] = &[
    Directive::new(
        "maxmemory",
        Kind::Memory(0, ULONG),
        "0",
        field!(maxmemory),
        "Bytes that the data may take, over all shards. 0 sets no limit. Beyond it keys are evicted as \
         maxmemory-policy says, or commands that need memory are refused.",
    ),
    Directive::new(
        "maxmemory-policy",
        Kind::Choice(POLICIES),
        "noeviction",
        field!(maxmemory_policy),
        "Which keys are evicted: volatile-* takes from those with a time to live and allkeys-* from all; lru those \
         not used for long, lfu those used rarely, random any, ttl those due soonest. noeviction takes none and \
         refuses writes.",
    ),
    Directive::new(
        "maxmemory-samples",
        Kind::Int(1, INT),
        "5",
        field!(maxmemory_samples),
        "Keys that are looked at to evict the best of them. More is more exact and takes longer.",
    ),
    Directive::new(
        "maxmemory-eviction-tenacity",
        Kind::Int(0, 100),
        "10",
        field!(maxmemory_eviction_tenacity),
        "How long eviction may hold up a turn of the loop: 0 the shortest, 100 until memory is below the limit.",
    ),
    Directive::new(
        "maxmemory-clients",
        Kind::MemoryOrPercent(100),
        "0",
        field!(maxmemory_clients),
        "Memory that all connections together may take, in bytes or in percent of maxmemory. Beyond it the \
         connections that take most are closed. 0 sets no limit.",
    ),
    Directive::new(
        "lfu-log-factor",
        Kind::Int(0, INT),
        "10",
        field!(lfu_log_factor),
        "How many uses it takes to raise a key's counter under the lfu policies: more with a greater factor.",
    ),
    Directive::new(
        "lfu-decay-time",
        Kind::Int(0, INT),
        "1",
        field!(lfu_decay_time),
        "Minutes after which the counter of an unused key falls by one. 0 never lets it fall.",
    ),
    Directive::new(
        "lazyfree-lazy-eviction",
        Kind::Bool,
        "no",
        Kept(Lacking::Automatic),
        "Free evicted values in the background. Values of a size that would be felt are freed so anyway.",
    ),
    Directive::new(
        "lazyfree-lazy-expire",
        Kind::Bool,
        "no",
        Kept(Lacking::Automatic),
        "Free the values of expired keys in the background.",
    ),
    Directive::new(
        "lazyfree-lazy-server-del",
        Kind::Bool,
        "no",
        Kept(Lacking::Automatic),
        "Free values that a command overwrites, such as RENAME's target, in the background.",
    ),
    Directive::new(
        "lazyfree-lazy-user-del",
        Kind::Bool,
        "no",
        Kept(Lacking::Automatic),
        "Make DEL behave as UNLINK does.",
    ),
    Directive::new(
        "lazyfree-lazy-user-flush",
        Kind::Bool,
        "no",
        field!(lazyfree_lazy_user_flush),
        "Make FLUSHDB and FLUSHALL run in the background unless SYNC is given.",
    ),
    Directive::new(
        "active-expire-effort",
        Kind::Int(1, 10),
        "1",
        Kept(Lacking::Automatic),
        "How much of a core's time may go into removing keys that are due, from 1 to 10. Due keys are found by their \
         deadline, not by sampling, so 1 is enough for nearly everybody.",
    ),
    Directive::new(
        "hz",
        Kind::Int(0, INT),
        "10",
        HZ,
        "How often per second a core looks after its connections and counters. Expiry does not depend on it. Numbers \
         outside 1 to 500 become the nearest of the two.",
    ),
    Directive::new(
        "dynamic-hz",
        Kind::Bool,
        "yes",
        Kept(Lacking::Automatic),
        "Look after connections more often than hz says when there are many.",
    ),
    Directive::new(
        "activerehashing",
        Kind::Bool,
        "yes",
        Kept(Lacking::Allocator),
        "Whether Redis moves its hash tables over in idle time. Pinyon's table never needs it.",
    ),
    Directive::new(
        "tracking-table-max-keys",
        Kind::Int(0, LONG),
        "1000000",
        Kept(Lacking::Tracking),
        "Keys that are remembered for clients that cache.",
    ),
];
