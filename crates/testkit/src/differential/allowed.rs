//! Every difference from the oracle that is allowed, with its reason. A command that is not listed must reply the same
//! bytes; error replies must be the same bytes for all.

/// How the replies of a command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The same bytes.
    Exact,
    /// The same elements in any order.
    Unordered,
    /// A cursor and keys: iterated to the end on both sides; the same keys altogether.
    Swept,
    /// A key that exists on both sides, or none on both.
    Member,
    /// Of the same kind, or of a key (the second argument) that is on neither side.
    KindOfKey,
    /// The same number, or as many keys as KEYS then finds on both sides.
    Counted,
    /// Integers no farther apart than this; those below 0 mean something else and must be the same.
    Within(i64),
    /// A point in time: apart by no more than this when it comes from a relative deadline, else the same.
    Deadline(i64),
    /// The same kinds of replies nested in the same way, whatever their content.
    Shape,
    /// Of the same kind, whatever its content or length.
    Kind,
    /// Lines of `name=value` with the same names; only some values are the same.
    ClientLines,
    /// A map with the same keys; only some values are the same.
    Hello,
    /// The same but for the sentences.
    Docs,
    /// The same but for the order of subcommands and the sentences.
    CommandInfo,
    /// INFO text: only what is the same on every server.
    Info,
    /// The same, but that a sorted set may be in either form.
    Encoding,
    /// Is never sent.
    NotSent,
}

/// One entry: command (with its subcommand after a bar), how it is compared, and why not byte by byte.
pub(super) type Allowed = (&'static str, How, &'static str);

/// How far apart in time, in milliseconds, the servers may have got a call: the machine may be busy.
const APART_MS: i64 = 10_000;

const BY_LEX: &str = "is about members of equal scores; of others Redis tells where its random towers lead it";

const MESSAGES: &str = "has several replies, and after it messages come among those of others";

pub(super) const ALLOWED: &[Allowed] = &[
    ("keys", How::Unordered, "the order is that of the hash table"),
    ("scan", How::Swept, "order and cursors are those of the hash table"),
    ("randomkey", How::Member, "is random"),
    ("hgetall", How::Unordered, "the order is that of the hash table"),
    ("hkeys", How::Unordered, "the order is that of the hash table"),
    ("hvals", How::Unordered, "the order is that of the hash table"),
    ("hscan", How::Kind, "order and cursors are those of the hash table"),
    ("hrandfield", How::Shape, "is random"),
    ("httl", How::Within(APART_MS / 1000), "is what is left at the time of the call"),
    ("hpttl", How::Within(APART_MS), "is what is left at the time of the call"),
    ("hexpiretime", How::Deadline(APART_MS / 1000), "may have been set relative to the time of the call"),
    ("hpexpiretime", How::Deadline(APART_MS), "may have been set relative to the time of the call"),
    ("xpending", How::Shape, "tells times"),
    ("xinfo|consumers", How::Shape, "tells times"),
    ("xinfo|stream", How::Shape, "tells times, and nodes of a radix tree that is not kept here"),
    ("pfselftest", How::NotSent, "keeps redis-server busy for seconds"),
    (
        "dump",
        How::Kind,
        "the elements of sets and hashes are in the order of a table, and compressors choose differently",
    ),
    ("bgrewriteaof", How::NotSent, "depends on the folder, and on what runs in the background"),
    ("bgsave", How::NotSent, "depends on the folder, and on what runs in the background"),
    ("save", How::NotSent, "depends on the folder, and on what runs in the background"),
    ("lastsave", How::NotSent, "is a time of the server's own"),
    ("smembers", How::Unordered, "the order is that of the hash table"),
    ("sinter", How::Unordered, "the order is that of the hash table"),
    ("sunion", How::Unordered, "the order is that of the hash table"),
    ("sdiff", How::Unordered, "the order is that of the hash table"),
    ("sscan", How::Kind, "order and cursors are those of the hash table"),
    ("zscan", How::Kind, "order and cursors are those of the hash table"),
    ("spop", How::NotSent, "is random, and leaves different data"),
    ("srandmember", How::Shape, "is random"),
    ("zrandmember", How::Shape, "is random"),
    ("zrangebylex", How::Kind, BY_LEX),
    ("zrevrangebylex", How::Kind, BY_LEX),
    ("zlexcount", How::Kind, BY_LEX),
    ("zremrangebylex", How::NotSent, BY_LEX),
    ("dbsize", How::Counted, "a key that is due is counted until it is found, which Redis leaves to chance"),
    ("ttl", How::Within(APART_MS / 1000), "is what is left at the time of the call"),
    ("pttl", How::Within(APART_MS), "is what is left at the time of the call"),
    ("expiretime", How::Deadline(APART_MS / 1000), "may have been set relative to the time of the call"),
    ("pexpiretime", How::Deadline(APART_MS), "may have been set relative to the time of the call"),
    (
        "object|encoding",
        How::Encoding,
        "SORT turns a small sorted set into a large one in Redis, also where it only reads; it then keeps the sign of a score of 0",
    ),
    (
        "object|idletime",
        How::Kind,
        "of a small integer, Redis tells the time since any key's use of the object that all share",
    ),
    (
        "object|refcount",
        How::Kind,
        "counts who shares an object; Pinyon shares none, and says of small integers what Redis mostly does",
    ),
    (
        "memory|usage",
        How::KindOfKey,
        "depends on the allocator and the layout of entries; and Redis tells it of a due key that is not found yet",
    ),
    ("time", How::Shape, "is the time of the call"),
    ("client|id", How::Kind, "numbers count all connections of a server"),
    ("client|info", How::ClientLines, "numbers, addresses, times and memory are each server's own"),
    ("client|list", How::ClientLines, "numbers, addresses, times and memory are each server's own"),
    ("hello", How::Hello, "names the server, its version and the connection's number"),
    ("info", How::Info, "is about the server itself"),
    ("command", How::Kind, "lists other commands"),
    ("command|count", How::Kind, "counts other commands"),
    ("command|list", How::Kind, "lists other commands"),
    ("command|docs", How::Docs, "the sentences are our own"),
    ("command|info", How::CommandInfo, "subcommands are in the order of a hash table, and notes are our own sentences"),
    ("client|help", How::Kind, "the sentences are our own"),
    ("command|help", How::Kind, "the sentences are our own"),
    ("config|help", How::Kind, "the sentences are our own"),
    ("latency|help", How::Kind, "the sentences are our own"),
    ("memory|help", How::Kind, "the sentences are our own"),
    ("object|help", How::Kind, "the sentences are our own"),
    ("pubsub|help", How::Kind, "the sentences are our own"),
    ("xgroup|help", How::Kind, "the sentences are our own"),
    ("xinfo|help", How::Kind, "the sentences are our own"),
    ("slowlog|help", How::Kind, "the sentences are our own"),
    ("latency|doctor", How::Kind, "the sentences are our own"),
    ("memory|doctor", How::Kind, "the sentences are our own"),
    ("memory|malloc-stats", How::Kind, "depends on the allocator"),
    ("memory|stats", How::Kind, "depends on the allocator"),
    ("lolwut", How::NotSent, "is our own picture, with its own arguments"),
    ("latency|histogram", How::Kind, "measures the server's time"),
    ("latency|graph", How::NotSent, "measures the server's time"),
    ("latency|history", How::Kind, "measures the server's time"),
    ("latency|latest", How::Kind, "measures the server's time"),
    ("latency|reset", How::Kind, "measures the server's time"),
    ("slowlog|get", How::Kind, "measures the server's time"),
    ("slowlog|len", How::Kind, "measures the server's time"),
    ("client|kill", How::NotSent, "would end connections of the comparison by numbers that differ"),
    ("client|pause", How::NotSent, "would hold the comparison up"),
    ("client|reply", How::NotSent, "leaves calls without replies to compare"),
    ("config|get", How::Kind, "the directives of storage, threads and replication differ"),
    ("config|set", How::NotSent, "would change how the two sides compare"),
    ("debug", How::NotSent, "is not for clients; the subcommands differ"),
    ("monitor", How::NotSent, "turns the connection into a stream"),
    ("shutdown", How::NotSent, "ends the server"),
    ("subscribe", How::NotSent, MESSAGES),
    ("unsubscribe", How::NotSent, MESSAGES),
    ("psubscribe", How::NotSent, MESSAGES),
    ("punsubscribe", How::NotSent, MESSAGES),
    ("ssubscribe", How::NotSent, MESSAGES),
    ("sunsubscribe", How::NotSent, MESSAGES),
];

/// A call that cannot be compared, because of its options.
pub(super) fn is_avoided(args: &[Vec<u8>]) -> bool {
    let has = |word: &[u8]| args.iter().any(|arg| arg.eq_ignore_ascii_case(word));
    match &args[0].to_ascii_lowercase()[..] {
        // See BY_LEX.
        b"zrange" | b"zrangestore" => has(b"bylex"),
        // Redis may not be able to read the numbers (see `is_stale_errno`), and then stores nothing.
        b"sort" => has(b"store") && !has(b"alpha"),
        // Came with Redis 7.2 and 7.4, for the oracle that has no other use for it.
        b"zrank" | b"zrevrank" => args.len() > 3,
        b"hscan" => has(b"novalues"),
        // Valkey takes a key of this name for the word.
        b"hsetex" | b"hgetex" => args.len() > 1 && args[1].eq_ignore_ascii_case(b"fields"),
        b"command" => args.len() > 2 && (is_avoided(&args[2..]) || stores_twice(&args[2..])),
        _ => false,
    }
}

/// Of several destinations Redis writes to the last one; its GETKEYS names others, too, Pinyon's does not.
fn stores_twice(args: &[Vec<u8>]) -> bool {
    let is_store = |arg: &&Vec<u8>| arg.eq_ignore_ascii_case(b"store") || arg.eq_ignore_ascii_case(b"storedist");
    args[0].to_ascii_lowercase().starts_with(b"georadius") && args.iter().filter(is_store).count() > 1
}

/// Over shards these look all their keys up; Redis stops at the first that is wrong, and counts no more of them.
const LOOK_AT_ALL: &[&str] = &["bitop", "pfcount", "pfmerge", "xread", "xreadgroup"];

/// Whether the keys that this call found and missed may have been counted differently. EXEC's reply holds such replies; and
/// who waits for a stream has looked once more than in Redis.
pub(super) fn is_counted_differently(full_name: &str, has_error: bool, is_null: bool) -> bool {
    has_error && (LOOK_AT_ALL.contains(&full_name) || full_name == "exec")
        || is_null && matches!(full_name, "xread" | "xreadgroup")
}

/// Commands that list all there are when called without names, as `argc` arguments and fewer.
const LIST_ALL: &[(&str, usize)] = &[("command|info", 2), ("command|docs", 2)];

/// How to compare the replies of the command of this full name ("get", "client|list") to calls of `argc` arguments.
pub(super) fn how(full_name: &str, argc: usize) -> How {
    if LIST_ALL.iter().any(|(name, all)| *name == full_name && argc <= *all) {
        return How::Kind;
    }
    ALLOWED.iter().find(|(name, ..)| *name == full_name).map_or(How::Exact, |(_, how, _)| *how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinyon_engine::command::registry::registry;

    #[test]
    fn every_entry_is_of_a_command_that_exists_and_says_why() {
        for (i, (name, _, why)) in ALLOWED.iter().enumerate() {
            assert!(registry().find_full(name.as_bytes()).is_some(), "{name}");
            assert!(!why.is_empty());
            assert!(ALLOWED[..i].iter().all(|(earlier, ..)| earlier != name), "{name} is listed twice");
        }
    }
}
